//! Whether the database's folder is on this machine: a write-ahead log shares memory between processes, which a network
//! file system can not, and its locks and syncs can not be trusted either.

use std::path::Path;

use crate::error::StoreError;

/// Refuses a folder on a network file system. One that can not be asked is left to the opening itself.
#[cfg(target_os = "linux")]
pub(super) fn check(path: &Path, place: &str) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(found) = rustix::fs::statfs(folder.unwrap_or_else(|| Path::new("."))) else {
        return Ok(());
    };
    // The kernel's field is a signed word on some machines and an unsigned one on others; the numbers have 32 bits.
    match shared(found.f_type as u32) {
        None => Ok(()),
        Some(name) => Err(super::open::refuse(
            place,
            &format!(
                "it is on {name}, where SQLite's locks and syncs can not be trusted; keep it on a local disk"
            ),
        )),
    }
}

/// Elsewhere nobody can be asked in this way.
#[cfg(not(target_os = "linux"))]
pub(super) fn check(_path: &Path, _place: &str) -> Result<(), StoreError> {
    Ok(())
}

/// The name of a file system that other machines write to as well, by its number in `statfs(2)` and linux/magic.h.
fn shared(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE (sshfs, virtiofs, a shared folder)",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x7375_7245 => "Coda",
        0x786F_4256 => "a shared folder of VirtualBox",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fm_073_network_file_systems_are_told_from_local_ones() {
        for remote in [0x6969, 0xFF53_4D42, 0x6573_5546, 0x0102_1997] {
            assert!(shared(remote).is_some(), "{remote:x}");
        }
        // ext4, xfs, btrfs, zfs, tmpfs, overlay
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0x0102_1994, 0x794C_7630] {
            assert_eq!(shared(local), None, "{local:x}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_is_asked_about_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("usher.db"), "usher.db").is_ok());
        assert!(check(Path::new("usher.db"), "usher.db").is_ok());
        assert!(check(Path::new("/nowhere/usher.db"), "usher.db").is_ok());
    }
}
