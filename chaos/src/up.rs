//! `squall up`: a local cluster until it is told to stop. What does not live here: flags, signals (the caller's).

use std::io::{self, Write};

use tokio::sync::broadcast::error::RecvError;

use crate::supervisor::{StartError, Supervisor, SupervisorOptions};

/// Starts a cluster, writes where it is and what happens to it, and ends it when `stop` comes.
///
/// # Errors
/// [`StartError`] when it could not be started; nothing runs then. Output that nobody reads is no error: the cluster
/// goes on.
pub async fn run(
    options: SupervisorOptions,
    stop: impl Future<Output = ()>,
    mut out: impl Write,
) -> Result<(), StartError> {
    let (data_dir, chaos) = (options.data_dir.clone(), options.chaos);
    let up = Supervisor::start(options).await?;
    let mut lines = vec![format!(
        "cluster of {} in {}",
        up.places().len(),
        data_dir.display()
    )];
    for place in up.places() {
        lines.push(format!(
            "node {}  mesh {}  gRPC {}",
            place.name, place.mesh, place.grpc
        ));
    }
    let faults = if chaos {
        "on: squall chaos kill|pause|delay|loss|cut …"
    } else {
        "off (--chaos)"
    };
    lines.push(format!("faults {faults}; Ctrl-C ends all"));
    let mut told = write(&mut out, &lines.join("\n"));
    let mut events = up.events();
    tokio::pin!(stop);
    loop {
        let line = tokio::select! {
            biased;
            () = &mut stop => break,
            event = events.recv() => match event {
                Ok(event) => event.to_string(),
                Err(RecvError::Lagged(missed)) => format!("({missed} events more)"),
                Err(RecvError::Closed) => break,
            },
        };
        if told.is_ok() {
            told = write(&mut out, &line);
        }
    }
    up.end().await;
    Ok(())
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}
