//! One exchange or process in detail without a terminal: what its page shows.
//!
//! What does not live here: the pages (`prepare::page`).

use std::time::Duration;

use serde_json::{Value, json};

use super::SCHEMA;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::facts::{self, DetailFact};
use crate::feed::Entity;
use crate::model::Screen;
use crate::prepare::page;
use crate::table::RowId;
use crate::units::Moment;

/// How long an entity is watched before it is shown first: two frames, and a second's decisions.
pub(super) const WATCHED: Duration = Duration::from_secs(1);

/// What is shown in detail, if anything is.
pub(crate) fn page(view: Screen, name: Option<&str>) -> Result<Option<RowId>, Error> {
    let Some(name) = name else {
        return Ok(None);
    };
    match view {
        Screen::Exchanges => Ok(Some(RowId::Exchange(name.to_owned()))),
        Screen::Processes => process(name).map(Some).ok_or(Error::NotDetailed),
        _ => Err(Error::NotDetailed),
    }
}

/// A pid names its node.
fn process(pid: &str) -> Option<RowId> {
    let bare = pid.trim_start_matches('<').trim_end_matches('>');
    let (node, _) = bare.rsplit_once('.').filter(|(node, _)| !node.is_empty())?;
    Some(RowId::Process(node.to_owned(), format!("<{bare}>")))
}

fn entity(page: &RowId) -> Option<Entity> {
    match page {
        RowId::Exchange(name) => Some(Entity::Exchange(name.clone())),
        RowId::Process(node, pid) => Some(Entity::Process {
            node: node.clone(),
            pid: pid.clone(),
        }),
        _ => None,
    }
}

/// The records of the entity, by node; an error where every node that was asked has nothing.
fn records(cluster: &Cluster, now: Moment, page: &RowId) -> Result<Vec<DetailFact>, Error> {
    let entity = entity(page).ok_or(Error::NotDetailed)?;
    let all = facts::details(cluster, &entity, now);
    if all.iter().any(|fact| fact.nothing.is_none()) {
        return Ok(all);
    }
    let why = all.into_iter().find_map(|fact| fact.nothing);
    Err(Error::NoDetail(
        why.unwrap_or_else(|| "no node showed it in time".to_owned()),
    ))
}

/// The entity as JSON.
///
/// # Errors
/// [`Error::NoDetail`] when no node shows it, [`Error::Json`] when a record cannot be written.
pub fn to_json(cluster: &Cluster, now: Moment, page: &RowId) -> Result<Value, Error> {
    let details = serde_json::to_value(records(cluster, now, page)?)?;
    Ok(json!({ "version": SCHEMA, "taken_unix_ms": now.0, "details": details }))
}

/// The page of the entity as text.
///
/// # Errors
/// [`Error::NoDetail`] when no node shows it.
pub fn to_text(cluster: &Cluster, now: Moment, page: &RowId) -> Result<String, Error> {
    records(cluster, now, page)?;
    let text = page::text(cluster, now, page);
    text.ok_or_else(|| Error::NoDetail("its node does not show it among its rows".to_owned()))
}
