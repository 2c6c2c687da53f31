//! Fires a fault: finds out whom it means now and what it would do, asks where it goes too far, and says what was done.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use squall_chaos::client::{ChaosClient, Firing};
use squall_chaos::fault::{Act, FORMS, Fault, Form, Target, Unreadable};
use squall_chaos::radius::{Budget, Extent, radius};
use squall_observer::console::Radius;
use tokio::time::sleep;

use super::super::exit::{Usage, one_line};
use super::explained;

/// Fire any fault at any target, as both are written in scenarios
///
/// `squall chaos fire` alone lists the faults. A target of a fault on nodes is a name or a role: a, owner(EXCHANGE),
/// leader(EXCHANGE), follower(EXCHANGE), meta-leader, minority, all. A target of a fault on links is `FROM -> TO`,
/// `FROM <-> TO`, a node or role for all its links, mute(NODE), deaf(NODE), isolate(NODE, NODE …), halves, bridge(NODE) or ring.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct FireArgs {
    /// Such as 'delay 200ms ±50ms'
    #[arg(requires = "target")]
    fault: Option<String>,
    /// Such as 'owner(orders) -> rest'
    target: Option<String>,
}

/// How it is fired.
#[derive(Debug, Clone)]
pub(super) struct How {
    /// Until it ends.
    pub(super) ttl: Duration,
    /// Say what it would do, and do nothing.
    pub(super) dry_run: bool,
    /// What was typed in advance.
    pub(super) confirm: Option<String>,
    /// Renew it until the command ends.
    pub(super) hold: bool,
}

pub(super) async fn run(client: &ChaosClient, args: &FireArgs, how: &How) -> Result<()> {
    let (Some(fault), Some(target)) = (&args.fault, &args.target) else {
        return Ok(write!(stdout(), "{}", listed())?);
    };
    let read = fault
        .parse()
        .map_err(|wrong| unreadable("fault", fault, &wrong))?;
    fire(client, &read, target, how).await
}

/// Fires it at whom the text means now.
pub(super) async fn fire(client: &ChaosClient, fault: &Fault, target: &str, how: &How) -> Result<()> {
    let read = Target::parse(target, fault.aim()).map_err(|wrong| unreadable("target", target, &wrong))?;
    let picture = client.picture().await.map_err(explained)?;
    let acts = fault
        .at(&read, &picture)
        .map_err(|nobody| explained(nobody.into()))?;
    let radius = radius(&acts, how.ttl, &picture);
    if how.dry_run {
        let deeds: Vec<String> = acts.iter().map(ToString::to_string).collect();
        return Ok(writeln!(
            stdout(),
            "{}\n{}",
            deeds.join("\n"),
            radius.lines.join("\n")
        )?);
    }
    if let Some(deed) = acts.iter().find_map(Act::done_at_once).filter(|_| how.hold) {
        let why = "--hold renews faults that act, and pauses";
        return Err(Usage(format!("{deed}: {why}; a node is kept down with --stay-down")).into());
    }
    if Budget::default().allows(&Extent::of(&acts, &picture)).is_err() {
        confirmed(&radius, how.confirm.as_deref())?;
    }
    let done = client
        .fire(&acts, &Firing::lasting(how.ttl))
        .await
        .map_err(explained)?;
    for one in &done {
        writeln!(stdout(), "{}", one_line(&one.to_string()))?;
    }
    if how.hold {
        return held(client, &acts, how.ttl).await;
    }
    Ok(())
}

/// Renews what was fired until somebody ends the command. It ends by itself then, as it does when nobody can renew it.
async fn held(client: &ChaosClient, acts: &[Act], ttl: Duration) -> Result<()> {
    writeln!(
        stdout(),
        "held until this command ends; then it is over within {ttl:.1?}"
    )?;
    loop {
        sleep(ttl / 3).await;
        client
            .fire(acts, &Firing::lasting(ttl))
            .await
            .map_err(explained)?;
    }
}

/// Without a terminal nobody can be asked: then it must have been said in advance.
fn confirmed(radius: &Radius, said: Option<&str>) -> Result<()> {
    let wanted = radius.confirm_by_typing.as_deref().unwrap_or("yes");
    if said == Some(wanted) {
        return Ok(());
    }
    let what = radius.lines.join("; ");
    if said.is_none() && stdin().is_terminal() && stderr().is_terminal() {
        write!(stderr(), "{what}\nType {wanted} to go on: ")?;
        let mut line = String::new();
        stdin().read_line(&mut line)?;
        if line.trim() == wanted {
            return Ok(());
        }
        return Err(Usage("not confirmed: nothing was done".to_owned()).into());
    }
    Err(Usage(format!("{what}; to do it all the same, say --confirm {wanted}")).into())
}

fn unreadable(what: &str, text: &str, wrong: &Unreadable) -> anyhow::Error {
    let place = text.get(..wrong.at.start).unwrap_or_default().chars().count() + 1;
    Usage(format!(
        "{what} '{}', at character {place}: {}",
        one_line(text),
        wrong.why
    ))
    .into()
}

fn listed() -> String {
    let width = FORMS
        .iter()
        .map(|form| form.form.chars().count())
        .max()
        .unwrap_or(0);
    let line = |form: &Form| format!("{:<width$}  {}\n", form.form, form.does);
    FORMS.iter().map(line).collect()
}
