//! The chaos dialog's steps: form, then the name typed or a plain confirmation, then the order. Never a
//! single key, and never on a target that is not what it was when the dialog opened.

use crate::clean;
use crate::cluster::{health, is_fresh};
use crate::console::{Picture, PictureExchange, PictureNode, Radius, node_of_pid};
use crate::dialog::{Deed, Dialog, Stage, Target, owner, run};
use crate::facts;
use crate::keymap::Action;
use crate::model::{Cmd, Model, Overlay, Screen};
use crate::table::RowId;

use super::notice;

/// Opens the dialog on the selected row.
pub(super) fn open(model: &mut Model) -> Vec<Cmd> {
    let Some(target) = target(model) else {
        let text = match model.screen {
            Screen::Mesh => "There is no link to break: select a cell between two nodes.",
            Screen::Exchanges | Screen::Leaders => "The selected exchange has no owner to aim at.",
            _ => "Select a node in the Overview, a link in the Mesh, or an exchange.",
        };
        notice(model, "Nothing to aim at", text, false);
        return Vec::new();
    };
    let whom = whom(model, &target);
    let dialog = Dialog::new(target, whom, &model.faults);
    let preview = preview(model, &dialog);
    model.overlay = Overlay::Chaos(Box::new(dialog));
    vec![preview]
}

/// Paints the selected link, or takes the paint away: an order is aimed at all that are painted.
pub(super) fn paint(model: &mut Model) {
    if let Some(RowId::Link(from, to)) = model.selected().cloned() {
        let way = (from, to);
        if !model.painted.remove(&way) {
            model.painted.insert(way);
        }
    }
}

/// Ends all faults.
pub(super) fn halt(model: &mut Model) -> Vec<Cmd> {
    notice(model, "Halt", "Ending all faults …", false);
    vec![Cmd::Halt]
}

/// How faults are let act again, behind what the console says of a halt.
pub(super) fn after_halt(model: &Model) -> String {
    match model.keymap.labels(&[Action::Unlock]) {
        keys if keys.is_empty() => String::new(),
        keys => format!(" · {keys} unlocks from here"),
    }
}

/// The console has said what the order would do.
pub(super) fn previewed(model: &mut Model, radius: Radius) {
    if let Overlay::Chaos(dialog) = &mut model.overlay {
        dialog.radius = Some(Radius {
            lines: radius.lines.iter().map(|l| clean::text(l)).collect(),
            ..radius
        });
        model.dirty = true;
    }
}

/// The order was carried out, or not. A dialog that was closed meanwhile does not hide the answer.
pub(super) fn fired(model: &mut Model, result: Result<String, String>) {
    model.dirty = true;
    match &mut model.overlay {
        Overlay::Chaos(dialog) if dialog.stage == Stage::Running => dialog.stage = Stage::Done(result),
        _ => {
            let bad = result.is_err();
            notice(model, "Chaos", &result.unwrap_or_else(|e| e), bad);
        }
    }
}

/// A key in the dialog or in a notice.
pub(super) fn act(model: &mut Model, action: Action) -> Vec<Cmd> {
    let Overlay::Chaos(mut dialog) = std::mem::take(&mut model.overlay) else {
        return Vec::new();
    };
    let mut cmds = Vec::new();
    let stays = match dialog.stage.clone() {
        Stage::Form => form(model, &mut dialog, action, &mut cmds),
        Stage::Typing(text) => typing(model, &mut dialog, text, action, &mut cmds),
        Stage::Confirm => match action {
            Action::Accept => fire(model, &mut dialog, &mut cmds),
            _ => back(&mut dialog),
        },
        Stage::Writing(text) => writing(model, &mut dialog, text, action, &mut cmds),
        Stage::Running => action != Action::Close,
        Stage::Done(_) if dialog.slides() && matches!(action, Action::Left | Action::Right) => {
            dialog.slide(action == Action::Right);
            cmds.push(preview(model, &dialog));
            fire(model, &mut dialog, &mut cmds)
        }
        Stage::Done(_) => false,
    };
    if stays {
        model.overlay = Overlay::Chaos(dialog);
    }
    cmds
}

fn form(model: &Model, dialog: &mut Dialog, action: Action, cmds: &mut Vec<Cmd>) -> bool {
    match action {
        Action::Up | Action::Down => dialog.move_field(action == Action::Down),
        Action::Left | Action::Right => {
            dialog.change(action == Action::Right);
            cmds.push(preview(model, dialog));
        }
        Action::Write if dialog.known().is_some() => {
            dialog.stage = Stage::Writing(dialog.written().to_owned());
        }
        Action::Accept => return accept(model, dialog, cmds),
        Action::Close => return false,
        _ => {}
    }
    true
}

fn accept(model: &Model, dialog: &mut Dialog, cmds: &mut Vec<Cmd>) -> bool {
    let Some(radius) = dialog.radius.as_ref().filter(|radius| !radius.impossible) else {
        return true;
    };
    if radius.confirm_by_typing.is_some() {
        dialog.stage = Stage::Typing(String::new());
    } else if dialog.deed == Deed::Resume {
        // Letting a node go on breaks nothing.
        return fire(model, dialog, cmds);
    } else {
        dialog.stage = Stage::Confirm;
    }
    true
}

fn typing(model: &Model, dialog: &mut Dialog, mut text: String, action: Action, cmds: &mut Vec<Cmd>) -> bool {
    match action {
        Action::Accept => {
            let wanted = dialog
                .radius
                .as_ref()
                .and_then(|r| r.confirm_by_typing.as_deref());
            if wanted == Some(text.as_str()) {
                return fire(model, dialog, cmds);
            }
        }
        Action::Erase | Action::EraseAll => {
            super::typing::erase(&mut text, action);
            dialog.stage = Stage::Typing(text);
        }
        Action::Close => return back(dialog),
        _ => {}
    }
    true
}

/// Another fault in one's own words; whether they can be read is told with what it would do.
fn writing(
    model: &Model,
    dialog: &mut Dialog,
    mut text: String,
    action: Action,
    cmds: &mut Vec<Cmd>,
) -> bool {
    match action {
        Action::Accept => {
            dialog.words = text;
            cmds.push(preview(model, dialog));
            return back(dialog);
        }
        Action::Erase | Action::EraseAll => {
            super::typing::erase(&mut text, action);
            dialog.stage = Stage::Writing(text);
        }
        Action::Close => return back(dialog),
        _ => {}
    }
    true
}

fn back(dialog: &mut Dialog) -> bool {
    dialog.stage = Stage::Form;
    true
}

fn fire(model: &Model, dialog: &mut Dialog, cmds: &mut Vec<Cmd>) -> bool {
    // Always the live cluster: a frozen screen must not hide that the target has changed.
    if let Some(why) = dialog.changed(&model.live, model.now) {
        dialog.stage = Stage::Done(Err(why));
        return true;
    }
    dialog.stage = Stage::Running;
    cmds.push(Cmd::Fire(dialog.order(), picture(model)));
    true
}

fn preview(model: &Model, dialog: &Dialog) -> Cmd {
    Cmd::Preview(dialog.order(), picture(model))
}

/// Whom an order may be aimed at: what is selected, then the roles and shapes that it has.
fn whom(model: &Model, target: &Target) -> Vec<String> {
    match target {
        Target::Node { name, .. } => {
            let exchanges = facts::exchanges(&model.live, model.now).into_iter();
            let owned = exchanges
                .filter(|e| e.owner.as_ref() == Some(name))
                .take(ROLES_MAX);
            let owns = owned.map(|e| format!("owner({})", e.name));
            let leads = health::meta_leader(&model.live, model.now) == Some(name.as_str());
            let roles = owns.chain(leads.then(|| "meta-leader".to_owned()));
            let groups = ["minority", "all"].map(str::to_owned);
            std::iter::once(name.clone()).chain(roles).chain(groups).collect()
        }
        Target::Link { from, to, .. } => {
            let painted: Vec<String> = model
                .painted
                .iter()
                .map(|(from, to)| format!("{from} -> {to}"))
                .collect();
            let painted = (!painted.is_empty()).then(|| painted.join("; "));
            let shapes = [
                format!("{from} -> {to}"),
                format!("{from} <-> {to}"),
                format!("{from} -> rest"),
                format!("rest -> {from}"),
                format!("isolate({from})"),
                format!("bridge({from})"),
                "halves".to_owned(),
                "ring".to_owned(),
            ];
            painted.into_iter().chain(shapes).collect()
        }
    }
}

/// Roles of one node that are offered.
const ROLES_MAX: usize = 4;

/// What the selected row aims at, as it is now.
fn target(model: &Model) -> Option<Target> {
    let live = &model.live;
    let node = |name: &str, owns: Option<&str>| Target::Node {
        name: name.to_owned(),
        was: run(live, name),
        owns: owns.map(str::to_owned),
    };
    match model.selected()? {
        RowId::Node(name) | RowId::Process(name, _) | RowId::Fault(name, _) => Some(node(name, None)),
        RowId::Link(from, to) if from != to => Some(Target::Link {
            from: from.clone(),
            to: to.clone(),
            was: run(live, from),
            other: run(live, to),
        }),
        RowId::Exchange(name) => {
            // A node whose opinion is chosen is meant itself.
            let chosen = model.pane().column.as_deref();
            let chosen = chosen.filter(|_| model.screen == Screen::Leaders && model.page.is_none());
            match chosen.filter(|node| live.nodes.contains_key(*node)) {
                Some(chosen) => Some(node(chosen, None)),
                None => Some(node(&owner(live, model.now, name)?, Some(name))),
            }
        }
        RowId::Event(key) => Some(node(&key.node, None)),
        RowId::Link(..)
        | RowId::Trace(_)
        | RowId::Span(..)
        | RowId::Decision(_)
        | RowId::Invariants
        | RowId::Scenario(_) => None,
    }
}

/// The live cluster as the console wants it for a preview.
fn picture(model: &Model) -> Picture {
    let (live, now) = (&model.live, model.now);
    let voters: Vec<String> = live
        .fresh(now)
        .filter_map(|n| n.row.as_ref())
        .max_by_key(|r| r.revision)
        .map(|r| {
            r.members
                .iter()
                .filter(|m| is_voter(m.role()))
                .map(|m| m.name.clone())
                .collect()
        })
        .unwrap_or_default();
    let node = |n: &crate::cluster::node::Node| PictureNode {
        name: n.name.clone(),
        voter: voters.contains(&n.name) || n.row.as_ref().is_some_and(|r| is_voter(r.role())),
        up: is_fresh(n, now),
    };
    let opinions = facts::leaders(live, now);
    let leader_of = |exchange: &str| {
        let newest = opinions
            .iter()
            .filter(|opinion| opinion.exchange == exchange)
            .max_by_key(|opinion| (opinion.epoch, opinion.leader_epoch));
        newest?.leader.as_deref().and_then(node_of_pid)
    };
    let exchange = |e: facts::ExchangeFact| PictureExchange {
        owner: e.owner,
        leader: leader_of(&e.name),
        handlers: Vec::new(),
        name: e.name,
    };
    Picture {
        nodes: live.nodes.values().map(node).collect(),
        exchanges: facts::exchanges(live, now).into_iter().map(exchange).collect(),
        meta_leader: health::meta_leader(live, now).map(str::to_owned),
    }
}

fn is_voter(role: squall_proto::v1::MetaRole) -> bool {
    use squall_proto::v1::MetaRole::{Leader, Voter};
    matches!(role, Leader | Voter)
}
