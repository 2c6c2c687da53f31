//! Golden frames: what the screen looks like, at four sizes, in every state of the cluster. Read a changed
//! frame before accepting it (`INSTA_UPDATE=always cargo test -p squall-observer --test golden`).

#[path = "golden/board.rs"]
mod board;
#[path = "golden/detail.rs"]
mod detail;
#[path = "golden/scene.rs"]
mod scene;
#[path = "golden/traced.rs"]
mod traced;

use ratatui::buffer::Buffer;
use ratatui::style::Color;
use scene::Scene;
use squall_observer::Screen;
use squall_observer::model::Model;
use squall_observer::svg::screen;
use squall_observer::theme::Theme;

const SIZES: [(u16, u16); 4] = [(60, 16), (80, 24), (120, 40), (200, 60)];
const SCENES: [Scene; 6] = [
    Scene::Loading,
    Scene::Healthy,
    Scene::Leaderless,
    Scene::Split,
    Scene::Lost,
    Scene::Moving,
];

fn frame(model: &mut Model, color: bool) -> Buffer {
    let now = model.now;
    screen(model, now, &Theme::new(color))
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let row: String = (0..buffer.area.width)
            .filter_map(|x| buffer.cell((x, y)))
            .map(|c| c.symbol())
            .collect();
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

fn frames(view: Screen, scenes: &[Scene], sizes: &[(u16, u16)]) {
    for scene in scenes {
        let made = scene::model(*scene, sizes[0], view);
        for size in sizes {
            let mut model = at(&made, *size, view);
            let name = format!("{}_{scene:?}_{}x{}", view.title(), size.0, size.1).to_lowercase();
            insta::assert_snapshot!(name, text(&frame(&mut model, true)));
        }
    }
}

#[test]
fn overview() {
    frames(Screen::Overview, &SCENES, &SIZES);
}

#[test]
fn leaders() {
    frames(Screen::Leaders, &SCENES, &SIZES);
}

#[test]
fn mesh() {
    frames(Screen::Mesh, &SCENES, &SIZES);
}

#[test]
fn exchanges() {
    frames(Screen::Exchanges, &SCENES, &SIZES);
}

#[test]
fn processes() {
    frames(Screen::Processes, &SCENES, &SIZES);
}

#[test]
fn registry() {
    frames(Screen::Registry, &SCENES, &SIZES);
}

#[test]
fn timeline() {
    frames(Screen::Timeline, &SCENES, &SIZES);
}

#[test]
fn chaos() {
    frames(Screen::Chaos, &SCENES, &SIZES);
}

/// View 9 with what a console says: how the invariants fare, scenarios, runs.
#[test]
fn boards() {
    let healthy = scene::model(Scene::Healthy, SIZES[0], Screen::Chaos);
    for told in board::ALL {
        for size in SIZES {
            let mut model = at(&healthy, size, Screen::Chaos);
            board::tell(&mut model, told);
            let name = format!("board_{told:?}_{}x{}", size.0, size.1).to_lowercase();
            insta::assert_snapshot!(name, text(&frame(&mut model, true)));
        }
    }
}

/// The same where a fault acts and two owners are seen: every line that must be seen is there.
#[test]
fn boards_beside_faults_and_questions() {
    let split = scene::model(Scene::Split, SIZES[0], Screen::Chaos);
    for (name, told, keys) in [
        ("faults", board::Told::Broken, "j"),
        ("lesson", board::Told::Healthy, "jjj"),
        ("page_invariants", board::Told::Broken, "\n"),
        ("page_run", board::Told::Ended, "Gk\n"),
        ("question", board::Told::Healthy, "Gr"),
        ("stop", board::Told::Running, "S"),
        ("unlock", board::Told::Healthy, "Unever"),
    ] {
        for size in [(60, 16), (80, 24), (160, 48)] {
            let mut model = at(&split, size, Screen::Chaos);
            board::tell(&mut model, told);
            press(&mut model, keys);
            let name = format!("board_{name}_{}x{}", size.0, size.1);
            insta::assert_snapshot!(name, text(&frame(&mut model, true)));
        }
    }
}

/// A breach is said in every view, over everything, in words, with and without colour.
#[test]
fn a_breach_cannot_be_missed() {
    let split = scene::model(Scene::Split, SIZES[0], Screen::Overview);
    for size in SIZES {
        for view in Screen::ALL {
            for keys in ["", "?", ":", "\n", "x", "U", " "] {
                let mut model = at(&split, size, view);
                board::tell(&mut model, board::Told::Broken);
                press(&mut model, keys);
                let shown = text(&frame(&mut model, false));
                let said = shown.contains("✖ I4 BROKEN · 9 shows the two events");
                assert!(
                    said && shown.contains("1 FAULT ACTIVE"),
                    "{size:?} {view:?} {keys:?}: {shown}"
                );
            }
        }
    }
    // The two events stand in view 9 in full, and on the page that Enter opens.
    for size in SIZES {
        let mut model = at(&split, size, Screen::Chaos);
        board::tell(&mut model, board::Told::Broken);
        let shown = |model: &mut Model| text(&frame(model, false));
        let words = |text: &str| text.split(|c: char| !c.is_alphanumeric()).collect::<String>();
        let view = words(&shown(&mut model));
        press(&mut model, "\n");
        let page = words(&shown(&mut model));
        for event in board::EVENTS {
            assert!(view.contains(&words(event)), "{size:?} {event}: {view}");
            assert!(page.contains(&words(event)), "{size:?} {event}: {page}");
        }
    }
}

/// Without a console there is nothing of it but how to have one.
#[test]
fn who_only_watches_is_told_how_to_have_invariants_judged() {
    for size in SIZES {
        let mut model = scene::model(Scene::Healthy, size, Screen::Chaos);
        model.console = false;
        board::tell(&mut model, board::Told::Broken);
        let shown = text(&frame(&mut model, false));
        assert!(
            shown.contains("start with --chaos: invariants are judged"),
            "{shown}"
        );
        assert!(
            !shown.contains("BROKEN") && !shown.contains("Scenarios"),
            "{shown}"
        );
    }
}

/// Whatever a console says, and whatever is selected, no size makes the view fail; in ASCII the verdicts stay apart.
#[test]
fn boards_fit_everywhere_and_into_ascii() {
    let split = scene::model(Scene::Split, SIZES[0], Screen::Chaos);
    for told in board::ALL {
        for size in [
            (0, 0),
            (1, 1),
            (60, 16),
            (61, 17),
            (97, 19),
            (100, 16),
            (131, 23),
            (300, 90),
        ] {
            for keys in ["", "j", "G", "Gr", "S", "U", "\n"] {
                let mut model = at(&split, size, Screen::Chaos);
                board::tell(&mut model, told);
                press(&mut model, keys);
                let plain = frame(&mut model, false);
                assert_eq!(
                    text(&plain),
                    text(&frame(&mut model, true)),
                    "{told:?} {size:?} {keys:?}"
                );
                let coloured = |c: &ratatui::buffer::Cell| c.fg != Color::Reset || c.bg != Color::Reset;
                assert!(
                    !plain.content().iter().any(coloured),
                    "{told:?} {size:?} {keys:?}"
                );
            }
        }
    }
    for told in board::ALL {
        let mut model = at(&split, (120, 40), Screen::Chaos);
        board::tell(&mut model, told);
        let now = model.now;
        let ascii = text(&screen(&mut model, now, &Theme::new(true).ascii(true)));
        assert!(ascii.is_ascii(), "{told:?}: {ascii}");
        insta::assert_snapshot!(format!("board_ascii_{told:?}").to_lowercase(), ascii);
    }
}

/// A scene at another size and in another view: making one takes a while.
fn at(scene: &Model, size: (u16, u16), view: Screen) -> Model {
    use squall_observer::model::Message;
    let mut model = scene.clone();
    model.open(view);
    squall_observer::update::update(&mut model, Message::Resize(size.0, size.1));
    model
}

fn press(model: &mut Model, keys: &str) {
    use squall_observer::model::Message;
    for c in keys.chars() {
        squall_observer::update::update(model, Message::Key(traced::key(c)));
    }
}

#[test]
fn the_graph_alone_and_the_help() {
    for size in [(60, 16), (80, 24), (120, 40)] {
        for (name, view, keys) in [("graph", Screen::Mesh, "w"), ("help", Screen::Overview, "?")] {
            let mut model = scene::model(Scene::Split, size, view);
            press(&mut model, keys);
            let name = format!("{name}_{}x{}", size.0, size.1);
            insta::assert_snapshot!(name, text(&frame(&mut model, true)));
        }
    }
}

/// The full mesh ends at some sixty nodes.
#[test]
fn a_mesh_of_many_nodes_fits_somehow() {
    use squall_observer::feed::{RowsUpdate, Update};
    use squall_observer::model::Message;
    use squall_proto::v1;
    for nodes in [1u64, 2, 7, 60] {
        let mut model = Model::new((120, 40), Screen::Mesh, true);
        squall_observer::update::update(&mut model, Message::Tick(squall_observer::units::Moment(1_000)));
        let name = |n: u64| format!("node-{n:02}");
        let rows = |n: u64| {
            let own = v1::row::Row::Node(v1::NodeRow {
                name: name(n),
                quorum: true,
                ..Default::default()
            });
            let link = |peer: u64| {
                v1::row::Row::Link(v1::LinkRow {
                    peer: name(peer),
                    state: if peer == 0 {
                        v1::LinkState::Down
                    } else {
                        v1::LinkState::Up
                    }
                    .into(),
                    rtt_p50_us: 900,
                    ..Default::default()
                })
            };
            let links = (0..nodes).filter(|peer| *peer != n).map(link);
            let all = std::iter::once(own).chain(links);
            Update::Rows(RowsUpdate {
                node: name(n),
                whole: true,
                rows: all.map(|row| v1::Row { row: Some(row) }).collect(),
                ..Default::default()
            })
        };
        squall_observer::update::update(&mut model, Message::Fed((0..nodes).map(rows).collect()));
        for size in [(60, 16), (80, 24), (120, 40), (200, 60), (97, 19)] {
            for keys in ["", "w"] {
                let mut model = at(&model, size, Screen::Mesh);
                press(&mut model, keys);
                let shown = text(&frame(&mut model, true));
                let names =
                    shown.contains("node-00") || nodes == 1 && shown.contains("one node has no links");
                assert!(names, "{nodes} {size:?} {keys}: {shown}");
                if nodes > 2 {
                    press(&mut model, "GL");
                    let shown = text(&frame(&mut model, true));
                    let last = name(nodes - 1);
                    assert!(keys == "w" || shown.contains(&format!("▶ {last}")), "{shown}");
                }
            }
        }
    }
}

/// While a fault lives the line stands above everything, with a way to end it.
#[test]
fn the_line_on_faults_is_never_covered() {
    let split = scene::model(Scene::Split, (120, 40), Screen::Overview);
    for size in SIZES {
        for view in Screen::ALL {
            for keys in ["", "?", ":", "/a", "\n", "\n?", "x", " ", "xx"] {
                for console in [true, false] {
                    let mut model = at(&split, size, view);
                    model.console = console;
                    press(&mut model, keys);
                    let shown = text(&frame(&mut model, true));
                    let how = if console {
                        "H ends all"
                    } else {
                        "squall chaos halt"
                    };
                    assert!(
                        shown.contains("1 FAULT ACTIVE · next ends in 2") && shown.contains(how),
                        "{size:?} {view:?} {keys:?} {console}: {shown}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_pane_says_how_old_it_is() {
    let split = scene::model(Scene::Split, (120, 40), Screen::Overview);
    for size in SIZES {
        for view in Screen::ALL.into_iter().filter(|view| *view != Screen::Traces) {
            for keys in ["", "\n"] {
                let mut model = at(&split, size, view);
                press(&mut model, keys);
                let shown = text(&frame(&mut model, true));
                let boxes = shown.matches('╭').count();
                // The graph's nodes are boxes, too.
                let nodes = if view == Screen::Mesh && keys.is_empty() && size.0 >= 120 {
                    3
                } else {
                    0
                };
                assert_eq!(
                    shown.matches("s old ─").count() + nodes,
                    boxes,
                    "{size:?} {view:?}: {shown}"
                );
            }
        }
    }
    let mut lost = scene::model(Scene::Lost, (120, 40), Screen::Overview);
    press(&mut lost, "j\n");
    let shown = text(&frame(&mut lost, true));
    assert!(
        shown.contains("Node b") && shown.contains(" 4.2s old ─"),
        "its own: {shown}"
    );
}

#[test]
fn pages() {
    use squall_observer::model::Page;
    use squall_observer::table::RowId;
    let of = [
        ("node", RowId::Node("b".into())),
        ("exchange", RowId::Exchange("orders".into())),
        ("process", RowId::Process("a".into(), "<a.11>".into())),
        ("link", RowId::Link("a".into(), "b".into())),
    ];
    for (name, id) in of {
        for scene in [Scene::Lost, Scene::Split] {
            for size in [(60, 16), (120, 40)] {
                let mut model = scene::model(scene, size, Screen::Processes);
                model.page = Some(Page::new(id.clone()));
                let name = format!("page_{name}_{scene:?}_{}x{}", size.0, size.1).to_lowercase();
                insta::assert_snapshot!(name, text(&frame(&mut model, true)));
            }
        }
    }
}

/// C3: what the pages show once nodes have answered; above they are still asked.
#[test]
fn pages_in_detail() {
    use squall_observer::model::Page;
    use squall_observer::table::{Motion, RowId};
    for (name, id) in [
        ("exchange", RowId::Exchange("orders".into())),
        ("process", RowId::Process("a".into(), "<a.11>".into())),
    ] {
        for (size, motion) in [((60, 16), Motion::Scroll(14)), ((120, 70), Motion::Stay)] {
            let mut model = scene::model(Scene::Lost, size, Screen::Processes);
            match &id {
                RowId::Process(node, pid) => detail::process(&mut model, node, pid),
                _ => detail::orders(&mut model),
            }
            let mut page = Page::new(id.clone());
            page.motion = motion;
            model.page = Some(page);
            let name = format!("detail_{name}_{}x{}", size.0, size.1);
            insta::assert_snapshot!(name, text(&frame(&mut model, true)));
        }
    }
}

#[test]
fn traces() {
    use squall_observer::model::Message;
    use squall_observer::units::Moment;
    use squall_observer::update::update;
    for size in SIZES {
        let named = |what: &str| format!("traces_{what}_{}x{}", size.0, size.1);
        let mut none = scene::model(Scene::Loading, size, Screen::Traces);
        insta::assert_snapshot!(named("none"), text(&frame(&mut none, true)));
        let mut model = scene::model(Scene::Lost, size, Screen::Traces);
        update(&mut model, Message::Sourced(traced::sources()));
        update(&mut model, Message::Traced(traced::spans()));
        update(&mut model, Message::Tick(Moment(traced::NOW)));
        insta::assert_snapshot!(named("list"), text(&frame(&mut model, true)));
        press(&mut model, "\njj");
        insta::assert_snapshot!(named("page"), text(&frame(&mut model, true)));
        press(&mut model, "k\n");
        let folded = text(&frame(&mut model, true));
        assert!(folded.contains("▸ +2 route orders"), "{folded}");
        press(&mut model, "\u{1b}jj\n");
        insta::assert_snapshot!(named("odd"), text(&frame(&mut model, true)));
        let now = model.now;
        let ascii = text(&screen(&mut model, now, &Theme::new(true).ascii(true)));
        assert!(ascii.is_ascii(), "{ascii}");
    }
}

#[test]
fn in_ascii_nothing_else_is_drawn_and_the_states_stay_apart() {
    for scene in SCENES {
        for view in Screen::ALL {
            let mut model = scene::model(scene, (120, 40), view);
            let now = model.now;
            let ascii = text(&screen(&mut model, now, &Theme::new(true).ascii(true)));
            assert!(ascii.is_ascii(), "{scene:?} {view:?}: {ascii}");
        }
    }
    let mut lost = scene::model(Scene::Lost, (120, 40), Screen::Overview);
    let now = lost.now;
    let shown = text(&screen(&mut lost, now, &Theme::new(true).ascii(true)));
    assert!(shown.contains("* up") && shown.contains("x down"), "{shown}");
}

#[test]
fn without_colours_the_same_text_stands_there() {
    for scene in SCENES {
        for view in Screen::ALL {
            let mut model = scene::model(scene, (80, 24), view);
            let plain = frame(&mut model, false);
            assert_eq!(text(&plain), text(&frame(&mut model, true)), "{scene:?} {view:?}");
            let coloured = |c: &ratatui::buffer::Cell| c.fg != Color::Reset || c.bg != Color::Reset;
            assert!(!plain.content().iter().any(coloured), "{scene:?} {view:?}");
        }
    }
}

#[test]
fn a_screen_too_small_says_what_it_needs() {
    let mut model = scene::model(Scene::Healthy, (59, 15), Screen::Overview);
    assert!(text(&frame(&mut model, true)).contains("need 60x16, have 59x15"));
}

#[test]
fn no_size_and_no_scene_makes_a_view_fail() {
    for scene in SCENES {
        for view in Screen::ALL {
            for size in [
                (0, 0),
                (1, 1),
                (60, 16),
                (61, 17),
                (97, 19),
                (100, 16),
                (250, 17),
                (300, 90),
            ] {
                frame(&mut scene::model(scene, size, view), true);
            }
        }
    }
}

#[test]
fn a_split_and_a_lost_quorum_are_said_in_words() {
    let mut split = scene::model(Scene::Split, (80, 24), Screen::Leaders);
    assert!(text(&frame(&mut split, false)).contains("! SPLIT"));
    for view in Screen::ALL {
        let mut leaderless = scene::model(Scene::Leaderless, (80, 24), view);
        assert!(
            text(&frame(&mut leaderless, false)).contains("NO QUORUM"),
            "{view:?}"
        );
        let mut fault = scene::model(Scene::Split, (80, 24), view);
        assert!(
            text(&frame(&mut fault, false)).contains("1 FAULT ACTIVE · next ends in 24s"),
            "{view:?}"
        );
    }
}

#[test]
fn a_failover_is_not_taken_for_a_split() {
    let mut lost = scene::model(Scene::Lost, (120, 40), Screen::Leaders);
    let shown = text(&frame(&mut lost, false));
    assert!(!shown.contains("SPLIT") && shown.contains("stale"), "{shown}");
}

#[test]
fn a_move_a_drain_and_a_weak_node_are_said_in_words_and_a_lost_quorum_names_the_way_back() {
    let shown = |scene, view| text(&frame(&mut scene::model(scene, (120, 40), view), false));
    let overview = shown(Scene::Moving, Screen::Overview);
    for words in ["⇥ leaving", "▽ weak", "orders moves to a"] {
        assert!(overview.contains(words), "{words}: {overview}");
    }
    let exchanges = shown(Scene::Moving, Screen::Exchanges);
    assert!(exchanges.contains("⇄ b → a moving"), "{exchanges}");
    let leaders = shown(Scene::Moving, Screen::Leaders);
    assert!(leaders.contains("⇄ moving"), "{leaders}");
    for size in [(60, 16), (80, 24)] {
        let mut lost = scene::model(Scene::Leaderless, size, Screen::Overview);
        let shown = text(&frame(&mut lost, false));
        assert!(
            shown.contains("NO QUORUM: for good? squall node recover --from-survivor"),
            "{shown}"
        );
    }
}
