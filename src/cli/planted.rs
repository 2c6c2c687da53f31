//! Plants a bug in this process and in those it starts, to see which scenarios find it on real nodes. Only with the feature
//! `planted`, which no binary that users get is built with.

use squall_kernel::planted::{self, Bug};

/// Plants what the variable `SQUALL_PLANT` names.
///
/// # Panics
/// There is no such bug: what would be found then is nothing.
pub(super) fn plant() {
    let Ok(name) = std::env::var("SQUALL_PLANT") else {
        return;
    };
    let bug = Bug::ALL.iter().copied().find(|bug| bug.as_str() == name);
    planted::plant(Some(
        bug.unwrap_or_else(|| panic!("SQUALL_PLANT={name}: there is no such bug")),
    ));
}
