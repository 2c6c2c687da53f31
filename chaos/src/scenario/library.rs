//! The scenarios that ship with Squall: files in `chaos/scenarios`. What does not live here: anything about any of them.

/// A scenario by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Name.
    pub name: &'static str,
    /// Its file's text.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal,)*) => {
        /// All of them, by what they teach first.
        pub const SHIPPED: &[Shipped] = &[
            $(Shipped { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) },)*
        ];
    };
}

shipped! {
    "kill-owner",
    "kill-meta-leader",
    "pause-leader",
    "partition-minority",
    "partition-one-way",
    "bridge",
    "slow-link",
    "flapping-link",
    "rolling-restart",
    "kill-during-move",
    "kill-task-owner",
    "kill-topic-owner",
    "disk-full",
    "broken-frames",
}

/// The one of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}
