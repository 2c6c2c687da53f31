//! The page of one row, and the way back from it.

use super::Screen;
use crate::table::{Motion, RowId};

/// The page of one row, over its view.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What it is about.
    pub id: RowId,
    /// The first line that shows.
    pub first: usize,
    /// How to scroll when it is prepared next.
    pub motion: Motion,
    /// The line that is chosen, of those that lead on.
    pub chosen: Option<RowId>,
}

impl Page {
    /// A page from its beginning.
    #[must_use]
    pub fn new(id: RowId) -> Self {
        Self {
            id,
            first: 0,
            motion: Motion::Stay,
            chosen: None,
        }
    }
}

/// Where the viewer was before going on to something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The view.
    pub screen: Screen,
    /// The page over it.
    pub page: Option<Page>,
    /// The filter that the view gone to had before.
    pub filter: String,
    /// The filter that it was gone to with.
    pub arrived: String,
}
