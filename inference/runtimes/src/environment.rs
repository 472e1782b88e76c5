//! What a model process sees of its surroundings: a list of what is allowed, and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables of the agent that a model process inherits. Everything else, secrets above all, stays out.
const INHERITED: &[&str] = &[
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "OMP_NUM_THREADS",
    "TZ",
];
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The surroundings of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The Python that runs the workers; its folder comes first in their PATH, because Cog starts its own
    /// worker as `python`.
    pub python: PathBuf,
}

impl Environment {
    /// Variables for a process whose home and temporary files are in `folder`.
    pub(crate) fn variables(&self, folder: &Path) -> BTreeMap<OsString, OsString> {
        let mut variables: BTreeMap<OsString, OsString> = INHERITED
            .iter()
            .filter_map(|name| std::env::var_os(name).map(|value| (OsString::from(name), value)))
            .collect();
        variables.insert("PATH".into(), self.path());
        variables.insert("HOME".into(), folder.into());
        variables.insert("TMPDIR".into(), folder.into());
        variables.insert("LANG".into(), "C.UTF-8".into());
        variables.insert("PYTHONUNBUFFERED".into(), "1".into());
        variables.insert("PYTHONDONTWRITEBYTECODE".into(), "1".into());
        variables
    }

    fn path(&self) -> OsString {
        let inherited = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let Some(folder) = self.python.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
            return inherited;
        };
        let mut path = folder.as_os_str().to_owned();
        path.push(":");
        path.push(inherited);
        path
    }
}
