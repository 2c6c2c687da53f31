//! The identity file of a data directory: what is in it, and how it is read and replaced. What does not live here: who
//! may have the directory.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use squall_kernel::id::ClusterId;

use super::{DataDirError, io_error, sync_dir};

pub(super) const IDENTITY_FILE: &str = "identity.json";
/// Where a recovery writes the registry's new file.
pub(super) const RECOVERED_FILE: &str = "registry.redb.recovered";
/// Layout of a data directory, the registry's records in it included; a higher one was written by a later Squall, a lower one by
/// an earlier one whose records mean something else.
pub(super) const LAYOUT: u32 = 2;
/// An identity is some 200 bytes: a larger file is none of ours and is not read into memory.
const IDENTITY_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) layout: u32,
    pub(super) node_id: u64,
    pub(super) boot: u32,
    pub(super) incarnation: u64,
    /// 32 hexadecimal digits: not every reader of JSON has 128 bits.
    pub(super) cluster: Option<String>,
    /// True once the registry's file was created: from then on a missing one is a loss, not a beginning.
    pub(super) registry: bool,
    /// Clusters left by a recovery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<String>,
    /// Cluster of a recovery whose file may or may not have taken the registry's place: see [`settled`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recovering: Option<String>,
}

pub(super) fn read_identity(file: &Path) -> Result<Option<Identity>, DataDirError> {
    let text = match File::open(file) {
        Ok(open) => {
            let mut text = Vec::new();
            open.take(IDENTITY_BYTES_MAX)
                .read_to_end(&mut text)
                .map_err(io_error(file, "read identity file"))?;
            text
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(file, "open identity file")(e)),
    };
    let damaged = |why: String| DataDirError::Damaged {
        file: file.to_path_buf(),
        why,
    };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    // Read by itself first: a later layout may have fields this version cannot parse.
    if let Some(found) = value.get("layout").and_then(serde_json::Value::as_u64)
        && found != u64::from(LAYOUT)
    {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        let file = file.to_path_buf();
        return Err(if found > LAYOUT {
            DataDirError::Newer { file, found }
        } else {
            DataDirError::Older { file, found }
        });
    }
    let identity: Identity = serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?;
    if identity.node_id == 0 {
        return Err(damaged("the node id is 0".into()));
    }
    let mut clusters = identity
        .cluster
        .iter()
        .chain(&identity.former)
        .chain(&identity.recovering);
    if let Some(text) = clusters.find(|text| ClusterId::read(text).is_none()) {
        return Err(damaged(format!("'{text}' is not a cluster id")));
    }
    Ok(Some(identity))
}

/// A recovery is done once its file has been renamed, and has not happened while the file is still there.
pub(super) fn settled(mut identity: Identity, dir: &Path) -> Identity {
    if let Some(cluster) = identity.recovering.take()
        && !dir.join(RECOVERED_FILE).try_exists().unwrap_or(true)
    {
        identity.former.extend(identity.cluster.replace(cluster));
    }
    identity
}

pub(super) fn next_run(stored: Option<Identity>, now_ms: u64) -> Identity {
    let old = stored.unwrap_or_else(|| Identity {
        layout: LAYOUT,
        node_id: rand::random_range(1..=u64::MAX),
        boot: 0,
        incarnation: 0,
        cluster: None,
        registry: false,
        former: Vec::new(),
        recovering: None,
    });
    Identity {
        boot: old.boot + 1,
        incarnation: now_ms.max(old.incarnation + 1),
        ..old
    }
}

/// Write beside, sync, rename, sync the directory: a crash leaves the old identity or the new one.
pub(super) fn write_identity(dir: &Path, identity: &Identity) -> Result<(), DataDirError> {
    let (file, beside) = (dir.join(IDENTITY_FILE), dir.join("identity.json.new"));
    let text = serde_json::to_vec_pretty(identity).expect("an identity is plain data, JSON can hold it");
    let replace = || -> io::Result<()> {
        let mut out = File::create(&beside)?;
        out.write_all(&text)?;
        out.sync_all()?;
        fs::rename(&beside, &file)?;
        sync_dir(dir)
    };
    replace().map_err(io_error(&file, "write identity file"))
}
