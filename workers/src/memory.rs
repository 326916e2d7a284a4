//! How often the kernel killed a process of this container for want of memory.

use std::path::{Path, PathBuf};

/// The kernel's counter of out-of-memory kills in the control group that this process is in.
#[derive(Debug)]
pub(crate) struct OutOfMemoryKills {
    file: Option<PathBuf>,
    before: u64,
}

impl OutOfMemoryKills {
    /// Starts to count. Where there is no such counter (not Linux, or no control group), it
    /// never moves.
    pub(crate) fn watch() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::watch_under(Path::new("/sys/fs/cgroup"), &groups)
    }

    fn watch_under(root: &Path, groups: &str) -> Self {
        let file = candidates(root, groups)
            .into_iter()
            .find(|file| kills(file).is_some());
        let before = file.as_deref().and_then(kills).unwrap_or(0);
        Self { file, before }
    }

    /// How many processes were killed since the watch began.
    pub(crate) fn since(&self) -> u64 {
        let now = self.file.as_deref().and_then(kills).unwrap_or(0);
        now.saturating_sub(self.before)
    }
}

/// Where the counter may be. In a container `/proc/self/cgroup` may tell the path that the group
/// has outside, while the container sees its own group as the root: hence both.
fn candidates(root: &Path, groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        // `0::/path` is version 2; `4:memory:/path` is version 1 (cgroups(7)).
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            files.push(root.join(path).join("memory.events"));
        } else if controllers.split(',').any(|c| c == "memory") {
            files.push(root.join("memory").join(path).join("memory.oom_control"));
        }
    }
    files.push(root.join("memory.events"));
    files.push(root.join("memory").join("memory.oom_control"));
    files
}

/// The number on the line `oom_kill`, which both versions have.
fn kills(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Writes a counter, watches it, and returns how far it moves.
    fn moved(file: &str, groups: &str, before: &str, after: &str) -> u64 {
        let root = TempDir::new().unwrap();
        let file = root.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, before).unwrap();
        let kills = OutOfMemoryKills::watch_under(root.path(), groups);
        std::fs::write(&file, after).unwrap();
        kills.since()
    }

    #[test]
    fn kills_are_counted_in_both_versions_inside_and_outside_a_container() {
        let v2 = |n| format!("low 0\nmax 4\noom 1\noom_kill {n}\noom_group_kill 0\n");
        let v1 = |n| format!("oom_kill_disable 0\nunder_oom 0\noom_kill {n}\n");
        for (file, groups, before, after) in [
            ("memory.events", "0::/\n", v2(0), v2(1)),
            ("a/b/memory.events", "0::/a/b\n", v2(3), v2(4)),
            ("memory.events", "0::/outside\n", v2(0), v2(1)),
            (
                "memory/x/memory.oom_control",
                "4:memory:/x\n0::/\n",
                v1(2),
                v1(3),
            ),
            (
                "memory/memory.oom_control",
                "4:cpu,memory:/outside\n",
                v1(0),
                v1(1),
            ),
        ] {
            assert_eq!(moved(file, groups, &before, &after), 1, "{file}");
        }
    }

    #[test]
    fn without_a_counter_nothing_was_killed() {
        let root = TempDir::new().unwrap();
        let kills = OutOfMemoryKills::watch_under(root.path(), "0::/\n");
        assert_eq!(kills.since(), 0);
    }
}
