//! The layout of a scenario's file, before anything in it is understood. What does not live here: what it means (`file`).

use serde::Deserialize;
use toml::Spanned;

/// A text, and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileText {
    pub(super) name: Option<Text>,
    #[serde(default)]
    pub(super) teaches: String,
    pub(super) lasts: Option<Text>,
    #[serde(default)]
    pub(super) cluster: ClusterText,
    #[serde(default)]
    pub(super) exchange: Vec<ExchangeText>,
    #[serde(default)]
    pub(super) steady: SteadyText,
    #[serde(default)]
    pub(super) blast: BlastText,
    #[serde(default)]
    pub(super) step: Vec<Spanned<StepText>>,
    #[serde(default)]
    pub(super) expect: Vec<ExpectText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterText {
    pub(super) nodes: Option<Spanned<u64>>,
    pub(super) profile: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeText {
    pub(super) name: Text,
    pub(super) pattern: Option<Text>,
    pub(super) strategy: Option<Text>,
    pub(super) handlers: Option<Spanned<u32>>,
    pub(super) rate: Option<Spanned<u32>>,
    pub(super) takes: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SteadyText {
    pub(super) good: Option<Text>,
    pub(super) p99: Option<Text>,
    pub(super) recover: Option<Text>,
    #[serde(default)]
    pub(super) during: DuringText,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DuringText {
    pub(super) good: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlastText {
    pub(super) nodes: Option<usize>,
    pub(super) links: Option<usize>,
    pub(super) exchanges: Option<usize>,
    pub(super) keep_quorum: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    pub(super) at: Text,
    pub(super) fault: Option<Text>,
    #[serde(rename = "move")]
    pub(super) moves: Option<Text>,
    pub(super) target: Text,
    pub(super) ttl: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectText {
    pub(super) exchange: Option<Text>,
    pub(super) class: Option<Text>,
    pub(super) gap: Option<Text>,
    pub(super) failed: Option<Text>,
    pub(super) lost: Option<u64>,
    pub(super) doubled: Option<u64>,
    pub(super) owner_changes: Option<Spanned<Range>>,
    pub(super) elections: Option<u64>,
    #[serde(default)]
    pub(super) seen: Vec<Text>,
}

/// A number, or the least and the most.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum Range {
    Exactly(u64),
    Between(u64, u64),
}
