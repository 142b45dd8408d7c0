//! POSIX access-control lists of files, as Linux stores them in an extended attribute. Where a file has one, the group's
//! bits of its mode are the list's mask and not what its group may do.
//!
//! `files` decides what is too much.

use std::path::Path;

use rustix::io::Errno;

/// Where the list stands (`acl(5)`; the layout is that of `linux/posix_acl_xattr.h`).
const ATTRIBUTE: &str = "system.posix_acl_access";
/// A version, then entries: tag, rights, and the id of a user or group; all in little-endian order.
const VERSION: u32 = 2;
const ENTRY_BYTES: usize = 8;
/// Room for a thousand entries; `ext4` holds some five hundred.
const MAX_BYTES: usize = 4 + 1_000 * ENTRY_BYTES;
const READ: u16 = 4;
const WRITE: u16 = 2;

mod tag {
    pub(super) const USER: u16 = 0x02;
    pub(super) const GROUP_OF_FILE: u16 = 0x04;
    pub(super) const GROUP: u16 = 0x08;
    pub(super) const MASK: u16 = 0x10;
}

/// What a list says about those who may change or read the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl {
    /// Entries that let others change the file, without that right: as `setfacl -m` takes them.
    pub(crate) writers: Vec<String>,
    /// Whether the file's group may read it.
    pub(crate) group_reads: bool,
    /// Users that the list names, who may read it.
    pub(crate) reading_users: Vec<u32>,
    /// Groups that the list names, which may read it.
    pub(crate) reading_groups: Vec<u32>,
}

impl Acl {
    /// The list of a file; `None` if there is none that can be read.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let mut bytes = vec![0; MAX_BYTES];
        let length: Result<usize, Errno> = rustix::fs::getxattr(path, ATTRIBUTE, &mut bytes[..]);
        Self::parse(bytes.get(..length.ok()?)?, rustix::process::geteuid().as_raw())
    }

    /// Reads the attribute. The user `own` is none of the others.
    fn parse(bytes: &[u8], own: u32) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk()?;
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
            return None;
        }
        let entries = entries.iter().map(|[t0, t1, p0, p1, id @ ..]| {
            (u16::from_le_bytes([*t0, *t1]), u16::from_le_bytes([*p0, *p1]), u32::from_le_bytes(*id))
        });
        let mask = entries.clone().find(|(tag, ..)| *tag == tag::MASK).map_or(u16::MAX, |(_, mask, _)| mask);
        let readers = entries.clone().filter(|(_, rights, _)| rights & mask & READ != 0);
        let ids_of = |wanted| readers.clone().filter(move |(tag, ..)| *tag == wanted).map(|(.., id)| id);
        let group_reads = ids_of(tag::GROUP_OF_FILE).next().is_some();
        let (reading_users, reading_groups) = (ids_of(tag::USER).collect(), ids_of(tag::GROUP).collect());
        let writers = entries.filter(|(_, rights, _)| rights & mask & WRITE != 0);
        let writers = writers.filter_map(|(tag, rights, id)| {
            let who = match tag {
                tag::USER if id != own => format!("u:{id}"),
                tag::GROUP_OF_FILE => "g:".to_owned(),
                tag::GROUP => format!("g:{id}"),
                _ => return None,
            };
            let right = |bit, name| if rights & bit == 0 { '-' } else { name };
            Some(format!("{who}:{}-{}", right(4, 'r'), right(1, 'x')))
        });
        Some(Self { writers: writers.collect(), group_reads, reading_users, reading_groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_OF_FILE: u16 = 0x01;
    const OTHER: u16 = 0x20;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |(tag, rights, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [VERSION.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
    }

    #[test]
    fn an_entry_lets_others_change_the_file_only_as_far_as_the_mask_goes() {
        let entries = |mask| {
            list(&[
                (USER_OF_FILE, 6, u32::MAX),
                (tag::USER, 6, 1001),
                (tag::USER, 6, 7),
                (tag::USER, 4, 1002),
                (tag::GROUP_OF_FILE, 4, u32::MAX),
                (tag::GROUP, 7, 1003),
                (tag::MASK, mask, u32::MAX),
                (OTHER, 0, u32::MAX),
            ])
        };
        let writers = |mask| Acl::parse(&entries(mask), 7).unwrap().writers;
        assert_eq!(writers(7), ["u:1001:r--", "g:1003:r-x"]);
        assert_eq!(writers(4), [""; 0]);
        let found = Acl::parse(&entries(4), 7).unwrap();
        assert!(found.group_reads);
        assert_eq!((found.reading_users, found.reading_groups), (vec![1001, 7, 1002], vec![1003]));
        let hidden = Acl::parse(&entries(2), 7).unwrap();
        assert!(!hidden.group_reads && hidden.reading_users.is_empty(), "the mask takes it away");
        let group = list(&[(tag::GROUP_OF_FILE, 6, u32::MAX)]);
        assert_eq!(Acl::parse(&group, 7).unwrap().writers, ["g::r--"]);
    }

    #[test]
    fn what_is_no_list_is_none() {
        for bytes in [&b""[..], b"\x02\0\0", b"\x01\0\0\0", b"\x02\0\0\0\x02\0"] {
            assert_eq!(Acl::parse(bytes, 0), None, "{bytes:?}");
        }
        let empty = Acl::parse(&list(&[]), 0).unwrap();
        assert!(empty.writers.is_empty() && !empty.group_reads && empty.reading_users.is_empty());
    }
}
