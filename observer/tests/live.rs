//! The program's own loop with a console behind it: what that says comes onto the screen by itself, what is asked of it arrives there,
//! and its answers come back. No node runs: a breach is said nevertheless.

#[path = "live/screen.rs"]
mod screen;

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent};
use futures::future::BoxFuture;
use ratatui::Terminal;
use screen::Memory;
use squall_observer::console::{
    Bar, Board, Console, ConsoleError, Invariant, Known, Order, Picture, Radius, Run, Verdict,
};
use squall_observer::{Config, Exit, Options, Screen, run_on};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

/// What has not happened by then will not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells what it is asked.
struct Asked {
    board: watch::Sender<Arc<Board>>,
    asked: mpsc::Sender<String>,
}

type Answer = BoxFuture<'static, Result<String, ConsoleError>>;

impl Asked {
    fn take(&self, what: String) -> Answer {
        let asked = self.asked.clone();
        Box::pin(async move {
            let answer = format!("done: {what}");
            asked.send(what).await.expect("the test listens");
            Ok(answer)
        })
    }
}

impl Console for Asked {
    fn known(&self) -> Vec<Known> {
        Vec::new()
    }

    fn preview(&self, _: &Order, _: &Picture) -> Radius {
        Radius::default()
    }

    fn fire(&self, order: Order, _: Picture) -> Answer {
        self.take(format!("fire {}", order.fault))
    }

    fn halt(&self) -> Answer {
        self.take("halt".to_owned())
    }

    fn unlock(&self, reason: String) -> Answer {
        self.take(format!("unlock {reason}"))
    }

    fn board(&self) -> watch::Receiver<Arc<Board>> {
        self.board.subscribe()
    }

    fn run(&self, scenario: String) -> Answer {
        self.take(format!("run {scenario}"))
    }

    fn stop(&self) -> Answer {
        self.take("stop".to_owned())
    }
}

/// An invariant was broken.
fn broken() -> Board {
    let invariant = Invariant {
        id: "I4".to_owned(),
        claim: "leases are disjoint".to_owned(),
        verdict: Verdict::Broken {
            text: "two held one".to_owned(),
            first: Some("b took it".to_owned()),
            second: "c took it".to_owned(),
        },
    };
    Board {
        bar: Some(Ok(Bar {
            invariants: vec![invariant],
            ..Bar::default()
        })),
        ..Board::default()
    }
}

/// A scenario runs.
fn running() -> Board {
    Board {
        run: Some(Run {
            scenario: "bridge".to_owned(),
            ended: None,
            lines: Vec::new(),
            report: None,
        }),
        ..Board::default()
    }
}

async fn type_in(keys: &mpsc::Sender<std::io::Result<Event>>, text: &str) {
    for c in text.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        keys.send(Ok(Event::Key(KeyEvent::from(code))))
            .await
            .expect("the loop runs");
    }
}

#[tokio::test]
async fn a_console_is_heard_and_asked() {
    let screen = Memory::new(100, 30);
    let (keys, pressed) = mpsc::channel(1);
    let (asked, mut asks) = mpsc::channel(1);
    let board = watch::Sender::new(Arc::new(Board::default()));
    let console = Asked {
        board: board.clone(),
        asked,
    };
    let options = Options {
        config: Config {
            view: Screen::Overview,
            ..Config::default()
        },
        console: Some(Arc::new(console)),
        ..Options::default()
    };
    let terminal = Terminal::new(screen.clone()).expect("a screen");
    let looped = tokio::spawn(run_on(terminal, ReceiverStream::new(pressed), options));
    let steps = async {
        screen.shows("SQUALL").await;
        assert!(!screen.text().contains("BROKEN"));
        board.send_replace(Arc::new(broken()));
        screen.shows("I4 BROKEN · 9 shows the two events").await;

        type_in(&keys, "U\n").await;
        screen.shows("Nothing is sent without a reason").await;
        type_in(&keys, "all is well\n").await;
        assert_eq!(asks.recv().await.as_deref(), Some("unlock all is well"));
        screen.shows("✔ done: unlock all is well").await;

        board.send_replace(Arc::new(running()));
        type_in(&keys, "\n").await;
        // Until the new board is there nothing runs, and the key says so.
        while !screen.text().contains("Stop the run of bridge") {
            type_in(&keys, "S").await;
            tokio::task::yield_now().await;
        }
        type_in(&keys, "\n").await;
        assert_eq!(asks.recv().await.as_deref(), Some("stop"));
        screen.shows("✔ done: stop").await;
        type_in(&keys, "\nq").await;
    };
    timeout(PATIENCE, steps).await.expect("in time");
    let exit = timeout(PATIENCE, looped)
        .await
        .expect("in time")
        .expect("no panic");
    assert!(matches!(exit, Ok(Exit::Quit)), "{exit:?}");
}
