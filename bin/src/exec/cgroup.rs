//! A control group around the command, where this user may make one: the system kills all of it in one act.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long an ended control group is waited for, which the system may still count as populated.
const LIMIT: Duration = Duration::from_secs(2);

/// Makes a control group below that of this process.
///
/// # Errors
/// There is no cgroup v2, its kernel cannot kill a group (before 5.14), or this user may not make one there.
pub fn make(number: u32) -> io::Result<PathBuf> {
    let missing = |what: &str| io::Error::new(io::ErrorKind::Unsupported, what.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let root = mount_point(&mounts).ok_or_else(|| missing("no cgroup v2 is mounted"))?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = own_path(&own).ok_or_else(|| missing("this process is in no cgroup v2"))?;
    let group = root
        .join(own.trim_start_matches('/'))
        .join(format!("fatebound-exec-{}-{number}", std::process::id()));
    fs::create_dir(&group)?;
    let usable = match group.join("cgroup.kill").exists() {
        false => Err(missing("the kernel cannot kill a control group")),
        // What cannot be written could not be entered.
        true => fs::OpenOptions::new()
            .write(true)
            .open(group.join("cgroup.procs"))
            .map(drop),
    };
    if let Err(error) = usable {
        let _ = fs::remove_dir(&group);
        return Err(error);
    }
    Ok(group)
}

/// Kills all that is in it.
pub fn kill(group: &Path) {
    let _ = fs::write(group.join("cgroup.kill"), "1");
}

/// Removes it, once nothing is in it.
pub fn remove(group: &Path) {
    let until = Instant::now() + LIMIT;
    while let Err(error) = fs::remove_dir(group) {
        if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() > until {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Where the file system of cgroup v2 is mounted.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then(|| PathBuf::from(place))
    })
}

/// This process's group in cgroup v2, which has number 0 and no controllers of its own in the list.
fn own_path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_group_is_read_from_the_system() {
        let mounts = "25 30 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 25 0:28 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mount_point(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_point("25 30 0:23 / /x rw - tmpfs tmpfs rw\n"), None);
        assert_eq!(own_path("1:cpu:/\n0::/user.slice/a\n"), Some("/user.slice/a"));
        assert_eq!(own_path("1:cpu:/\n"), None);
    }
}
