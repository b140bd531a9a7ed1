use super::*;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("listing");
    let mut names: Vec<_> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("deep/er/file.txt");
    write(&path, |out| out.write_all(b"old")).expect("first write");
    let failed = write(&path, |out| {
        out.write_all(b"new, but not all of")?;
        Err(io::Error::other("disk full"))
    });
    assert_eq!(failed.expect_err("must fail").to_string(), "disk full");
    assert_eq!(std::fs::read(&path).expect("still there"), b"old");
    assert_eq!(names(path.parent().expect("has a parent")), ["file.txt"], "a temporary file was left behind");
}

#[test]
fn staged_files_appear_on_commit() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("file");
    let staged = stage(&path, |out| out.write_all(b"x")).expect("stage");
    assert!(!path.exists());
    staged.commit().expect("commit");
    assert_eq!(std::fs::read(&path).expect("there"), b"x");
}

#[test]
fn a_folder_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let error = write(folder.path(), |out| out.write_all(b"x")).expect_err("a folder");
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
    use std::process::Command;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).expect("there").mode() & 0o7777
    }

    #[test]
    fn modes_stay() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("file");
        write(&path, |out| out.write_all(b"1")).expect("written");
        std::fs::write(folder.path().join("like"), "").expect("written");
        assert_eq!(mode(&path), mode(&folder.path().join("like")), "a new file is an ordinary one");
        for wanted in [0o600, 0o640, 0o444, 0o755, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wanted)).expect("set");
            write(&path, |out| {
                // Nobody may read meanwhile what nobody may read in the end.
                let half = names(folder.path()).into_iter().find(|name| name.ends_with(SUFFIX));
                assert_eq!(mode(&folder.path().join(half.expect("a temporary file"))) & 0o077, 0);
                out.write_all(b"2")
            })
            .expect("written");
            assert_eq!(mode(&path), wanted, "{wanted:o}");
        }
    }

    #[test]
    fn as_root_owners_stay() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "1").expect("written");
        if std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).is_err() {
            return; // not root
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        write(&path, |out| out.write_all(b"2")).expect("written");
        let there = std::fs::metadata(&path).expect("there");
        assert_eq!((there.uid(), there.gid(), mode(&path)), (12_345, 54_321, 0o640));
    }

    #[test]
    fn links_stay_and_what_they_lead_to_is_replaced() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("far")).expect("made");
        std::fs::write(path("far/file"), "old").expect("written");
        symlink("far/file", path("near")).expect("a link");
        symlink(path("near"), path("nearer")).expect("a link");
        symlink("far/new", path("loose")).expect("a link");
        symlink("circle", path("circle")).expect("a link");
        write(&path("nearer"), |out| out.write_all(b"new")).expect("written");
        write(&path("loose"), |out| out.write_all(b"made")).expect("written");
        assert_eq!(std::fs::read(path("far/file")).expect("there"), b"new");
        assert_eq!(std::fs::read(path("far/new")).expect("there"), b"made");
        assert_eq!(std::fs::read_link(path("near")).expect("a link"), Path::new("far/file"));
        assert_eq!(std::fs::read_link(path("loose")).expect("a link"), Path::new("far/new"));
        assert!(write(&path("circle"), |out| out.write_all(b"x")).is_err());
        assert_eq!(names(&path("far")), ["file", "new"]);

        replace(&path("near"), |out| out.write_all(b"ours")).expect("written");
        assert!(std::fs::symlink_metadata(path("near")).expect("there").is_file());
        assert_eq!(std::fs::read(path("far/file")).expect("there"), b"new");
    }

    #[test]
    fn a_pipe_is_written_into() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        symlink(&pipe, &link).expect("a link");
        for path in [&pipe, &link] {
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || {
                    let mut all = Vec::new();
                    File::open(pipe).expect("a pipe").read_to_end(&mut all).map(|_| all)
                }
            });
            write(path, |out| out.write_all(&[7; 200_000])).expect("written");
            assert_eq!(reader.join().expect("read").expect("read"), [7; 200_000]);
            assert!(std::fs::symlink_metadata(&pipe).expect("there").file_type().is_fifo());
        }
        assert_eq!(names(folder.path()), ["link", "pipe"]);
    }

    #[test]
    fn a_device_is_written_into() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let node = |name: &str, minor: &str| {
            let path = folder.path().join(name);
            let made = Command::new("mknod").arg(&path).args(["c", "1", minor]).output();
            made.is_ok_and(|made| made.status.success()).then_some(path)
        };
        // Only root makes devices, and not everywhere can they be opened.
        let (Some(null), Some(full)) = (node("null", "3"), node("full", "7")) else { return };
        if OpenOptions::new().write(true).open(&null).is_err() {
            return;
        }
        write(&null, |out| out.write_all(b"x")).expect("swallowed");
        write(&full, |out| out.write_all(b"x")).expect_err("no space");
        for device in [null, full] {
            assert!(std::fs::symlink_metadata(device).expect("there").file_type().is_char_device());
        }
        assert_eq!(names(folder.path()), ["full", "null"]);
    }

    #[test]
    fn an_open_file_is_written_where_it_stands() {
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("file");
        let mut open = File::create(&path).expect("made");
        open.write_all(b"before, ").expect("written");
        let name = format!("/dev/fd/{}", open.as_raw_fd());
        if !Path::new(&name).exists() {
            return;
        }
        write(Path::new(&name), |out| out.write_all(b"now, ")).expect("written");
        open.write_all(b"after").expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"before, now, after");
    }
}
