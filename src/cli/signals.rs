//! Ctrl-C and the orderly request to end.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when the user or the system asks the program to end: SIGINT, SIGTERM or SIGHUP. Never, where signals cannot be
/// had; they end the program by themselves then.
pub(crate) async fn ended() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut int), Ok(mut term), Ok(mut hup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hup.recv() => {}
    }
}
