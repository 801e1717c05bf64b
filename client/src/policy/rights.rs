//! The rights of a program that a command starts: its user, its groups, the permissions of its new
//! files, and whether it may gain more. What an entry leaves open follows from the client's own user.

use super::command::{Settings, User};
use common::sys::trusted_file::ROOT;
use std::fmt;

/// The mask of a program that root's client starts: only the program's own user may write its new
/// files.
const ROOTS_UMASK: u32 = 0o022;

/// The rights of a program that a command starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Its user, if it is another one than the client's.
    pub user: Option<User>,
    /// The number of the client's own user.
    pub own_user: u32,
    /// Its supplementary groups; those of the client, if none.
    pub groups: Option<Vec<u32>>,
    /// The permissions that its new files do not get; those of the client, if none.
    pub umask: Option<u32>,
    /// Whether it may become another user or gain capabilities by what it executes.
    pub setuid: bool,
}

impl Settings {
    /// The rights of a run if its client belongs to this user. Of root's own groups and mask a
    /// program gets nothing that its entry does not name.
    pub fn rights(&self, own_user: u32) -> Rights {
        let is_root = own_user == ROOT;
        let named = self.groups.as_ref();
        let named = named.map(|groups| groups.iter().map(|group| group.id).collect());
        let of_user = || self.user.as_ref().map(|user| user.groups.clone());
        Rights {
            user: self.user.clone(),
            own_user,
            groups: is_root.then(|| named.or_else(of_user).unwrap_or_default()),
            umask: self.umask.or(is_root.then_some(ROOTS_UMASK)),
            setuid: self.setuid,
        }
    }
}

impl Rights {
    /// The number of its user.
    pub fn user_id(&self) -> u32 {
        self.user.as_ref().map_or(self.own_user, |user| user.id)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(User {
                name, id, group, ..
            }) => write!(f, "{name} (uid {id}, gid {group})")?,
            None => write!(f, "the client's own user (here uid {})", self.own_user)?,
        }
        match self.groups.as_deref() {
            None => f.write_str(", its groups")?,
            Some([]) => f.write_str(", no groups")?,
            Some(groups) => {
                let ids: Vec<_> = groups.iter().map(u32::to_string).collect();
                write!(f, ", groups {}", ids.join(","))?;
            }
        }
        match self.umask {
            None => f.write_str(", its umask")?,
            Some(umask) => write!(f, ", umask {umask:03o}")?,
        }
        match self.setuid {
            true => f.write_str(", setuid true"),
            false => Ok(()),
        }
    }
}
