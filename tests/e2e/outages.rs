//! The observer in a terminal while nodes of a real cluster stand still, are cut off, and end: what is silent is said to be, and
//! everything else goes on.

use std::process::Stdio;

use rustix::process::Signal;
use vt100::Color;

use crate::pty::{Pty, Screen};
use crate::rig::{Cluster, Process, signal};

const SIZE: (u16, u16) = (120, 40);
/// What is grey in the dark theme: rows of what is silent.
const GREY: Color = Color::Idx(245);
/// What is red there: what is broken.
const RED: Color = Color::Idx(202);

fn observe(cluster: &Cluster) -> Pty {
    let args = ["observe", "--color", "always", "--connect", &cluster.connect()];
    let observer = Pty::start(&args, cluster.dir.path(), SIZE);
    observer.sees(&["3/3 up"]);
    observer
}

/// The words of a node's row in the Overview.
fn row<'s>(screen: &'s Screen<'_>, node: &str) -> Option<Vec<&'s str>> {
    screen.rows().find(|row| row.first() == Some(&node))
}

/// The word that follows another one in a row.
fn after<'s>(row: &[&'s str], word: &str) -> Option<&'s str> {
    row.iter().skip_while(|one| **one != word).nth(1).copied()
}

/// Waits for a screen on which `figure` has one value, then for one with another.
fn changes<T: PartialEq>(observer: &Pty, what: &str, figure: impl Fn(&Screen<'_>) -> Option<T>) {
    let first = observer.wait(what, &figure);
    observer.wait(&format!("another {what}"), |screen| {
        figure(screen).filter(|now| *now != first).map(drop)
    });
}

/// How long a node has run, as its row says; it is said anew each second.
fn uptime(screen: &Screen<'_>, node: &str) -> Option<String> {
    let row = row(screen, node).filter(|row| row.contains(&"up"))?;
    let is_time = |word: &&&str| word.ends_with('s') && !word.ends_with("ms");
    row.iter().rfind(is_time).map(|time| (*time).to_owned())
}

fn quits(mut observer: Pty) {
    observer.press("q");
    let left = observer.left();
    assert_eq!(left.code, 0);
    assert!(
        !left.alternate_screen && !left.cursor_hidden && left.modes_restored,
        "the terminal is as before"
    );
}

#[test]
fn a_node_that_stands_still_is_suspect_the_others_go_on_and_it_comes_back() {
    let cluster = Cluster::start(3);
    let mut observer = observe(&cluster);
    let paused = cluster.nodes[2].as_ref().expect("it runs");
    signal(paused, Signal::STOP);
    observer.wait("node c overdue", |screen| {
        let row = row(screen, "c")?;
        (row.contains(&"suspect") && row.contains(&"stale")).then_some(())
    });
    changes(&observer, "uptime of a while c stands still", |screen| {
        row(screen, "c").filter(|row| row.contains(&"stale"))?;
        uptime(screen, "a")
    });
    observer.press("2");
    observer.sees(&["─ Links ─", "─ Graph ─"]);
    // Also when c has been declared lost: its connections stand, and nothing says that what is sent arrives.
    observer.wait("no link to c that is up", |screen| {
        let a = row(screen, "a").filter(|row| row.iter().filter(|word| **word == "up").count() == 1)?;
        let is_word = |word: &str| a.contains(&word);
        (is_word("suspect") && screen.0.contains("! a → c suspect")).then_some(())
    });
    observer.press("?");
    observer.sees(&["─ Keys ─"]);
    observer.press("\x1b");
    observer.wait("the view again", |screen| {
        (!screen.0.contains("─ Keys ─")).then_some(())
    });
    observer.press("1");
    observer.sees(&["─ Nodes ─", "2/3 up"]);
    quits(observer);
}

#[test]
fn a_node_that_is_cut_off_is_told_by_both_sides_and_links_mend_by_themselves() {
    let cluster = Cluster::start_judged(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "round-robin",
        "--failover",
        "a,b,c",
    ]);
    assert_eq!(cluster.owner("orders").0, "a");
    let mut observer = observe(&cluster);
    observer.press("2");
    observer.sees(&["─ Links ─"]);
    let cuts = [("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")].map(|(from, to)| {
        let mut cut = cluster.client(&["chaos", "cut", from, to, "--ttl", "10s"]);
        Process::spawn(cut.stdout(Stdio::null()))
    });
    for mut cut in cuts {
        assert!(cut.0.wait().expect("it ends").success(), "a link is not cut");
    }
    observer.wait("the cut links of the Mesh, and that they are", |screen| {
        let cut =
            |node, count| row(screen, node).filter(|row| row.iter().filter(|w| **w == "✶").count() == count);
        (cut("a", 2).is_some() && cut("b", 1).is_some() && cut("c", 1).is_some())
            .then(|| screen.0.contains("4 FAULTS ACTIVE").then_some(()))?
    });
    observer.press("4");
    // Node a acts for nobody any more, and the others have an owner of their own.
    observer.wait("what each side believes", |screen| {
        let of_orders = |node: &str| {
            let rows = screen.rows().filter(|row| row.first() == Some(&"orders"));
            rows.map(|row| row[1..].join(" "))
                .find(|row| row.starts_with(node))
        };
        let owner = |node: &str| of_orders(node).is_some_and(|row| row.contains("● owner"));
        let refuses = of_orders("a")?.contains("refuses");
        (refuses && (owner("b") || owner("c"))).then_some(())
    });
    assert!(!observer.shows("SPLIT"), "nobody owns what another one does");
    observer.wait("no fault, and one owner for all", |screen| {
        // Of the selected exchange, node by node; the matrix above has a row for all of them.
        let of_a_node = |row: &Vec<&str>| row[0] == "orders" && ["a", "b", "c"].contains(&row[1]);
        let rows = screen.rows().filter(|row| row.len() > 2).filter(of_a_node);
        let owners = rows.filter(|row| row[2..4] == ["●", "owner"]).count();
        let whole =
            !screen.0.contains("FAULT") && !screen.0.contains("refuses") && screen.0.contains("3/3 up");
        (whole && owners == 1).then_some(())
    });
    quits(observer);
}

#[test]
fn with_every_node_dead_their_rows_stay_in_grey_with_their_age_and_keys_are_answered() {
    let mut cluster = Cluster::start(3);
    cluster.ok(&[
        "exchange",
        "declare",
        "orders",
        "--strategy",
        "round-robin",
        "--failover",
        "a,b,c",
    ]);
    cluster.owner("orders");
    let mut observer = observe(&cluster);
    (0..3).for_each(|i| cluster.kill(i));
    observer.wait("three dead nodes", |screen| {
        let dead = |node: &&str| {
            let row = row(screen, node).unwrap_or_default();
            row.contains(&"down") && row.contains(&"stale")
        };
        (["a", "b", "c"].iter().all(dead) && screen.0.contains("0/3 up")).then_some(())
    });
    observer.wait_cells(
        "their rows in grey, but for the word that they are down",
        |screen| {
            let text = |row, column| screen.cell(row, column).map_or("", vt100::Cell::contents);
            let is_node = |row: &u16| {
                text(*row, 0) == "│" && ["b", "c"].contains(&text(*row, 3)) && text(*row, 4) == " "
            };
            let of_row = |row| (3..SIZE.0 - 1).filter_map(move |column| screen.cell(row, column));
            let written = (0..SIZE.1).filter(is_node).flat_map(of_row);
            let written = written.filter(|cell| !cell.contents().trim().is_empty());
            let colors: Vec<Color> = written.map(vt100::Cell::fgcolor).collect();
            let other = colors.iter().find(|color| ![GREY, RED].contains(color));
            match other {
                Some(color) => Some(format!("there is {color:?}")),
                None => (!colors.contains(&GREY)).then(|| "nothing is grey".to_owned()),
            }
        },
    );
    changes(&observer, "age of a's row", |screen| {
        after(&row(screen, "a")?, "stale").map(ToOwned::to_owned)
    });
    for (key, words) in [
        ("2", &["─ Links ─"][..]),
        ("3", &["─ Exchanges ─", "orders"]),
        ("4", &["─ Opinions ─", "orders", "was owner", "(stale)"]),
        ("5", &["─ Processes ─"]),
        ("6", &["─ Registry ─", "orders"]),
        ("7", &["─ Timeline ─"]),
        ("9", &["─ Faults"]),
        ("?", &["─ Keys ─"]),
    ] {
        observer.press(key);
        observer.sees(words);
    }
    observer.press("\x1b");
    observer.wait("the view again", |screen| {
        (!screen.0.contains("─ Keys ─")).then_some(())
    });
    quits(observer);
}
