//! A double owner, planted in simulated nodes, lights up in the observer's Leaders, in the colour of alarm, with its sign and
//! its word. The nodes' rows are made by the function that live nodes make theirs with; the observer is the real one, with
//! a buffer for a terminal.
//!
//! A test binary of its own: a planted bug is planted in the whole process.

use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use squall_chaos::sim::plan::{Plan, Wishes};
use squall_chaos::sim::world::{Answer, World};
use squall_chaos::sim::{Tier, world};
use squall_kernel::planted::{self, Bug};
use squall_observer::Screen;
use squall_observer::feed::{Link, RowsUpdate, Update};
use squall_observer::model::{Message, Model};
use squall_observer::theme::{Theme, Tone};
use squall_observer::units::Moment;
use squall_observer::update::update;
use squall_observer::view::view;
use squall_proto::v1;
use squall_proto::v1::row::Row;

/// Bugs by which two nodes act as owner at once, and how many seeds are looked through for each: those of docs/simulator.md.
const DOUBLE_OWNERS: &[(Bug, u64)] = &[
    (Bug::ProposeWithoutGathering, 80),
    (Bug::LengthenLease, 150),
    (Bug::RestartedVoterPromises, 400),
    (Bug::LyingProofOfDeath, 170),
];
/// When the simulated time began: 14:00:00 UTC of some day.
const START_MS: u64 = 1_700_056_800_000;
/// Wide enough for the words of seven nodes.
const SIZE: (u16, u16) = (160, 48);

#[test]
fn a_planted_double_owner_stands_out_in_red_with_its_word_and_never_without_the_bug() {
    for &(bug, within) in DOUBLE_OWNERS {
        let name = bug.as_str();
        planted::plant(Some(bug));
        let found = (1..=within).find_map(|seed| Some((seed, first_alarm(seed)?)));
        planted::plant(None);
        let Some((seed, alarm)) = found else {
            panic!("{name}: no double owner was shown in {within} seeds");
        };
        println!("{name}: seed {seed}, {:?}", alarm.owners);
        assert!(
            alarm.owners.values().any(|nodes| nodes.len() > 1),
            "{name}, seed {seed}: the alarm is false:\n{}",
            text(&alarm.screen)
        );
        for (exchange, nodes) in alarm.owners.iter().filter(|(_, nodes)| nodes.len() > 1) {
            stands_out(&alarm.screen, exchange, nodes.len());
        }
        if let Some(alarm) = first_alarm(seed) {
            panic!("{name}, seed {seed}, without the bug:\n{}", text(&alarm.screen));
        }
    }
}

/// What stood on the screen, and who acted as owner of which exchange then.
struct Alarm {
    screen: Buffer,
    owners: BTreeMap<String, Vec<String>>,
}

/// The first screen of a run that says of an exchange that several nodes own it.
fn first_alarm(seed: u64) -> Option<Alarm> {
    let plan = Plan::draw(seed, &Wishes::default());
    let mut watcher = Watcher::new();
    let mut found = None;
    let _run = world(Tier::T1, &plan).run_seen(|world| {
        if found.is_some() || !watcher.look(world) {
            return;
        }
        let owners = watcher.owners();
        let screen = watcher.draw();
        if text(screen).contains("SPLIT") {
            found = Some(Alarm {
                screen: screen.clone(),
                owners,
            });
        }
    });
    found
}

/// The row of that exchange is in the colour of alarm, begins with `!`, and says of so many nodes that they split it.
fn stands_out(screen: &Buffer, exchange: &str, nodes: usize) {
    let bad = Theme::new(true).style(Tone::Bad).fg;
    let sign = format!("! {exchange} ");
    let shown = text(screen);
    let row = shown.lines().position(|line| line.contains(&sign));
    let row = row.unwrap_or_else(|| panic!("no row says '{sign}':\n{shown}"));
    let y = u16::try_from(row).expect("a screen's row");
    let is_bad = |word: &str, x: usize| {
        let cells = (x..x + word.len()).map(|x| u16::try_from(x).expect("a screen's column"));
        cells
            .map(|x| &screen[(x, y)])
            .all(|cell| cell.symbol() == " " || Some(cell.fg) == bad)
    };
    let line: Vec<char> = shown.lines().nth(row).expect("it was found").chars().collect();
    let places = |word: &str| -> Vec<usize> {
        let word: Vec<char> = word.chars().collect();
        let found = line.windows(word.len()).enumerate();
        found.filter(|(_, part)| *part == word).map(|(x, _)| x).collect()
    };
    let names = places(&sign);
    assert!(is_bad(&sign, names[0]), "'{sign}' is not in the colour of alarm");
    let words = places("! SPLIT ");
    assert_eq!(words.len(), nodes, "one for each owner:\n{shown}");
    assert!(
        words.iter().all(|x| is_bad("! SPLIT ", *x)),
        "SPLIT is not in the colour of alarm"
    );
}

/// The observer's screen.
struct Watcher {
    model: Model,
    terminal: Terminal<TestBackend>,
    theme: Theme,
    told: BTreeMap<String, Answer>,
    /// What each node that runs said last.
    rows: BTreeMap<String, Vec<v1::LeaderRow>>,
}

impl Watcher {
    fn new() -> Self {
        let terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("a buffer");
        Self {
            model: Model::new(SIZE, Screen::Leaders, false),
            terminal,
            theme: Theme::new(true),
            told: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    /// Takes in what the nodes say now; true when some opinion is another one.
    fn look(&mut self, world: &World) -> bool {
        let now_ms = START_MS + world.now().0 / 1000;
        let mut changed = false;
        let mut updates = Vec::new();
        for seen in world.seen() {
            let name = seen.name.as_str().to_owned();
            let known = self.told.insert(name.clone(), seen.answer.clone());
            if known.as_ref() == Some(&seen.answer) {
                continue;
            }
            changed |= !known.is_some_and(|known| same_but_lease(&known, &seen.answer));
            updates.extend(told(name.clone(), &seen.answer, now_ms));
            match seen.answer {
                Answer::Rows(rows) => drop(self.rows.insert(name, rows)),
                Answer::Gone => drop(self.rows.remove(&name)),
                Answer::Silent => {}
            }
        }
        update(&mut self.model, Message::Fed(updates));
        if changed {
            update(&mut self.model, Message::Tick(Moment(now_ms)));
        }
        changed
    }

    /// The nodes that say of themselves that they own an exchange, by exchange; one that stands still meant what it said.
    fn owners(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (node, rows) in &self.rows {
            let own = rows.iter().filter(|row| row.role() == v1::LeaderRole::Owner);
            own.for_each(|row| all.entry(row.exchange.clone()).or_default().push(node.clone()));
        }
        all
    }

    fn draw(&mut self) -> &Buffer {
        let (model, theme) = (&self.model, &self.theme);
        self.terminal
            .draw(|frame| view(model, theme, frame, frame.area()))
            .expect("a buffer");
        self.terminal.backend().buffer()
    }
}

/// A lease that was prolonged changes no screen by a word.
fn same_but_lease(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Answer::Rows(one), Answer::Rows(other)) => {
            let bare = |rows: &[v1::LeaderRow]| -> Vec<v1::LeaderRow> {
                rows.iter()
                    .map(|row| v1::LeaderRow {
                        lease_left_ms: 0,
                        ..row.clone()
                    })
                    .collect()
            };
            bare(one) == bare(other)
        }
        _ => one == other,
    }
}

/// What the observer's feed makes of it. A node that stands still says nothing, and its connection stays.
fn told(node: String, answer: &Answer, now_ms: u64) -> Vec<Update> {
    match answer {
        Answer::Silent => Vec::new(),
        Answer::Gone => vec![Update::Connection {
            node,
            state: Link::Down {
                why: "refused".to_owned(),
                refused: true,
            },
        }],
        Answer::Rows(rows) => {
            let own = Row::Node(v1::NodeRow {
                name: node.clone(),
                quorum: true,
                ..Default::default()
            });
            let rows = rows.iter().cloned().map(Row::Leader);
            let rows = [own].into_iter().chain(rows);
            vec![Update::Rows(RowsUpdate {
                node,
                whole: true,
                rows: rows.map(|row| v1::Row { row: Some(row) }).collect(),
                taken_unix_ms: now_ms,
                ..Default::default()
            })]
        }
    }
}

fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| -> String { (0..area.width).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..area.height).map(|y| line(y) + "\n").collect()
}
