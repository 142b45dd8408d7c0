use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::FileChange::{New, Nothing, Restored, Retry};
use super::*;

const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// A folder with a key and its certificate, which are in use.
async fn in_use() -> (TempDir, FileWatch) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), "key 1").unwrap();
    fs::write(dir.path().join("crt"), "crt 1").unwrap();
    let files = watched(&dir);
    let watch = FileWatch::of_present(files.into(), RETRY_INTERVAL).await;
    (dir, watch)
}

fn watched(dir: &TempDir) -> [(PathBuf, Sensitivity); 2] {
    [("key", Sensitivity::Secret), ("crt", Sensitivity::Integrity)]
        .map(|(name, held)| (dir.path().join(name), held))
}

async fn looks<const N: usize>(watch: &mut FileWatch) -> [FileChange; N] {
    let mut seen = [Nothing; N];
    for change in &mut seen {
        *change = watch.look().await;
    }
    seen
}

fn set_modified(path: &Path, like: &fs::Metadata) {
    let times = FileTimes::new().set_modified(like.modified().unwrap());
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

#[tokio::test]
async fn a_file_replaced_by_a_rename_is_new_at_the_second_look() {
    let (dir, mut watch) = in_use().await;
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
    fs::write(dir.path().join("crt.new"), "crt 2").unwrap();
    fs::rename(dir.path().join("crt.new"), dir.path().join("crt")).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New, Nothing]);
    watch.adopt();
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
}

#[tokio::test]
async fn a_file_changed_in_place_with_the_same_length_and_time_is_noticed() {
    let (dir, mut watch) = in_use().await;
    let path = dir.path().join("crt");
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, "crt 2").unwrap();
    set_modified(&path, &before);
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
    assert_eq!(looks(&mut watch).await, [Nothing, New]);
}

#[tokio::test]
async fn the_same_contents_in_another_file_are_no_change() {
    let (dir, mut watch) = in_use().await;
    fs::remove_file(dir.path().join("crt")).unwrap();
    fs::write(dir.path().join("crt"), "crt 1").unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
}

/// As the kubelet does: each file is a link through `..data`, which is a link that a rename replaces.
#[tokio::test]
async fn a_folder_swapped_by_a_link_is_one_change_of_all_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (folder, version) in [("..1", "1"), ("..2", "2")] {
        fs::create_dir(path(folder)).unwrap();
        for name in ["key", "crt"] {
            fs::write(path(folder).join(name), format!("{name} {version}")).unwrap();
        }
    }
    symlink("..1", path("..data")).unwrap();
    for name in ["key", "crt"] {
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    let mut watch = FileWatch::of_present(watched(&dir).into(), RETRY_INTERVAL).await;
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
    symlink("..2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New, Nothing]);
}

#[tokio::test]
async fn files_that_are_still_written_are_not_new_until_they_stay_the_same() {
    let (dir, mut watch) = in_use().await;
    for (name, contents) in [("key", ""), ("key", "ke"), ("key", "key 2"), ("crt", "crt"), ("crt", "crt 2")] {
        fs::write(dir.path().join(name), contents).unwrap();
        assert_eq!(watch.look().await, Nothing, "{name} {contents}");
    }
    assert_eq!(watch.look().await, New);
}

#[tokio::test]
async fn a_file_that_is_unreadable_for_a_while_is_tried_once_and_then_restored() {
    let (dir, mut watch) = in_use().await;
    let (path, aside) = (dir.path().join("crt"), dir.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New, Nothing], "what is missing cannot be used either");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(looks(&mut watch).await, [Restored, Nothing]);
    // For one look only, as while a program replaces it.
    fs::rename(&path, &aside).unwrap();
    assert_eq!(watch.look().await, Nothing);
    fs::rename(&aside, &path).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
}

#[tokio::test]
async fn each_reason_for_not_reading_a_file_is_its_own() {
    let (dir, mut watch) = in_use().await;
    let path = dir.path().join("crt");
    fs::remove_file(&path).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New]);
    fs::create_dir(&path).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New]);
    fs::remove_dir(&path).unwrap();
    // Larger than anything that is compared, and too long to read on each look.
    let large = File::create(&path).unwrap();
    large.set_len(MAX_FILE_BYTES + 1).unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New, Nothing]);
    // The permissions alone are no other contents.
    fs::write(&path, "crt 1").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(looks(&mut watch).await, [Restored, Nothing]);
}

#[tokio::test]
async fn old_contents_that_come_back_before_they_were_replaced_are_no_change() {
    let (dir, mut watch) = in_use().await;
    fs::write(dir.path().join("crt"), "crt 2").unwrap();
    assert_eq!(watch.look().await, Nothing);
    fs::write(dir.path().join("crt"), "crt 1").unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
}

#[tokio::test]
async fn old_contents_that_come_back_after_others_were_adopted_are_new() {
    let (dir, mut watch) = in_use().await;
    fs::write(dir.path().join("crt"), "crt 2").unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New]);
    watch.adopt();
    fs::write(dir.path().join("crt"), "crt 1").unwrap();
    assert_eq!(looks(&mut watch).await, [Nothing, New]);
}

#[tokio::test]
async fn contents_that_are_not_adopted_are_tried_again_after_the_interval() {
    let (dir, mut watch) = in_use().await;
    fs::write(dir.path().join("crt"), "crt 2").unwrap();
    let (found, _) = watch.read().await.unwrap();
    let start = Instant::now();
    let mut look =
        |found: &Contents, after: u64| watch.observe(found.clone(), start + Duration::from_secs(after));
    assert_eq!(
        [0, 2, 4, 11, 12, 13].map(|after| look(&found, after)),
        [Nothing, New, Nothing, Nothing, Retry, Nothing]
    );
    // Other contents are tried as soon as they have settled.
    let other = vec![Err("it is gone".to_owned())];
    assert_eq!([14, 15].map(|after| look(&other, after)), [Nothing, New]);
}

#[tokio::test]
async fn what_is_there_first_is_new_if_nothing_is_known_to_be_in_use() {
    let (dir, _) = in_use().await;
    let mut watch = FileWatch::new(vec![(dir.path().join("crt"), Sensitivity::Integrity)], RETRY_INTERVAL);
    assert_eq!(looks(&mut watch).await, [Nothing, New, Nothing]);
    watch.adopt();
    assert_eq!(looks(&mut watch).await, [Nothing, Nothing]);
}

#[tokio::test]
async fn a_file_is_named_once_each_time_it_is_opened_to_others() {
    let (dir, mut watch) = in_use().await;
    let set = |name: &str, mode| {
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
    };
    let mut opened = async || {
        let (_, open) = watch.read().await.unwrap();
        let found = watch.open.newly_open(open);
        assert!(watch.open.newly_open(watch.open.0.clone().unwrap()).is_empty(), "it is in the log");
        found.into_iter().map(|text| text.rsplit_once(" run ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let chmod = |bits: &str, name: &str| format!("chmod {bits} {:?}", dir.path().join(name));
    set("key", 0o600);
    set("crt", 0o644);
    assert_eq!(opened().await, [""; 0], "every user may read a certificate");
    set("key", 0o644);
    assert_eq!(opened().await, [chmod("o-r", "key")]);
    set("crt", 0o664);
    assert_eq!(opened().await, [chmod("g-w", "crt")], "the key is named already");
    set("key", 0o640);
    assert_eq!(opened().await, [""; 0]);
    set("key", 0o646);
    assert_eq!(opened().await, [chmod("o-rw", "key")]);
}

#[tokio::test]
async fn what_is_open_before_the_first_look_is_left_to_the_configuration() {
    let (dir, _) = in_use().await;
    fs::set_permissions(dir.path().join("key"), Permissions::from_mode(0o644)).unwrap();
    for mut watch in [
        FileWatch::new(watched(&dir).into(), RETRY_INTERVAL),
        FileWatch::of_present(watched(&dir).into(), RETRY_INTERVAL).await,
    ] {
        let (_, open) = watch.read().await.unwrap();
        assert!(open.iter().flatten().count() == 1 && watch.open.newly_open(open).is_empty());
    }
}
