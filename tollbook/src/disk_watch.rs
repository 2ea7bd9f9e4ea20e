//! Says when a disk that partners' files lie on is nearly full, once when it begins and once when it is over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use store::{NewMail, Store};
use tracing::{error, info};

/// Where the level was low at the last look.
#[derive(Debug, Default)]
pub(crate) struct DiskWatch {
    low: BTreeSet<PathBuf>,
}

/// How full the file system of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Free for us, bytes.
    pub(crate) free_bytes: u64,
    /// All of it, bytes.
    pub(crate) total_bytes: u64,
}

impl Level {
    /// Of `dir`, or of the nearest directory above it that there is.
    pub(crate) fn of(dir: &Path) -> std::io::Result<Self> {
        let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
        let stat = rustix::fs::statvfs(there)?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn free_percent(self) -> u64 {
        let percent = u128::from(self.free_bytes) * 100 / u128::from(self.total_bytes.max(1));
        u64::try_from(percent).unwrap_or(100)
    }
}

/// What has changed since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is little left.
    Low(PathBuf, Level),
    /// There is enough again.
    Enough(PathBuf),
}

impl DiskWatch {
    /// Takes a look: `levels` of the directories, and the percentage below which it is little.
    pub(crate) fn look(&mut self, levels: &[(PathBuf, Level)], percent_min: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for (dir, level) in levels {
            // A little more than that before it is over, or it would come and go with every file.
            let is_low = level.free_percent() < percent_min + u64::from(self.low.contains(dir));
            if is_low && self.low.insert(dir.clone()) {
                changes.push(Change::Low(dir.clone(), *level));
            } else if !is_low && self.low.remove(dir) {
                changes.push(Change::Enough(dir.clone()));
            }
        }
        changes
    }
}

/// A line in the log for each change, and a mail to `to`.
pub(crate) async fn tell(
    store: &Store,
    changes: Vec<Change>,
    to: &[String],
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    for change in changes {
        let (subject, text) = match change {
            Change::Low(dir, level) => {
                let megabytes = level.free_bytes >> 20;
                error!(dir = %dir.display(), megabytes, "the disk of the CDR files is nearly full");
                let text = format!(
                    "{} has {megabytes} MB free of {} MB. When it is full no CDR file is written; calls wait in the database until \
                     there is room again, and nothing is lost.\n\nFiles in the archive that nobody will ask for may be moved away: \
                     `tollbook export again` makes them again from their calls.\n",
                    dir.display(),
                    level.total_bytes >> 20
                );
                (format!("the disk of {} is nearly full", dir.display()), text)
            }
            Change::Enough(dir) => {
                info!(dir = %dir.display(), "the disk of the CDR files has room again");
                (format!("the disk of {} has room again", dir.display()), "It is over.\n".to_owned())
            }
        };
        if !to.is_empty() {
            let about = "sftp:disk".to_owned();
            let mail = NewMail { to: to.to_vec(), subject, text, attachments: Vec::new(), about };
            store.mail_enqueue(&mail, now).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_disk_is_told_once_and_its_end_once() {
        let mut watch = DiskWatch::default();
        let mut look = |free_bytes: u64| {
            let level = Level { free_bytes: free_bytes << 20, total_bytes: 1_000 << 20 };
            let shown =
                watch.look(&[(PathBuf::from("x"), level)], 10).into_iter().map(|change| match change {
                    Change::Low(..) => "low",
                    Change::Enough(_) => "enough",
                });
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(look(500), "");
        assert_eq!(look(99), "low");
        assert_eq!(look(98), "");
        assert_eq!(look(105), "", "it would come and go");
        assert_eq!(look(110), "enough");
        assert_eq!(look(200), "");
    }

    #[test]
    fn every_file_system_has_a_level() {
        let dir = tempfile::tempdir().unwrap();
        let level = Level::of(&dir.path().join("not/yet/there")).unwrap();
        assert!(level.total_bytes > 0 && level.free_percent() <= 100, "{level:?}");
    }

    #[tokio::test]
    async fn mail_says_what_happens_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let low =
            Change::Low(PathBuf::from("/exports"), Level { free_bytes: 5 << 20, total_bytes: 100 << 20 });
        tell(&store, vec![low], &["noc@example.org".to_owned()], DateTime::UNIX_EPOCH).await.unwrap();
        let mails = store.mail_list().await.unwrap();
        assert_eq!(mails.len(), 1);
        assert!(mails[0].mail.text.contains("5 MB free of 100 MB"), "{}", mails[0].mail.text);
    }
}
