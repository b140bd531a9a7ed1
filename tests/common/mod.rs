//! What the tests of the command line share: a command, and what it must say.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hub::Hub;

/// `mppc` with these arguments.
pub(crate) fn mppc(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mppc"));
    command.args(args);
    command
}

/// The same in a folder, on the processor.
pub(crate) fn mppc_in(dir: &Path, args: &[&str]) -> Command {
    let mut command = mppc(&[args, &["--engine", "cpu"]].concat());
    command.current_dir(dir);
    command
}

/// The same with a stand-in for the hub, and its cache in `home`.
pub(crate) fn mppc_with(hub: &Hub, home: &Path, args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = hub.client(env!("CARGO_BIN_EXE_mppc"), home);
    command.args(args).envs(env.iter().copied());
    command
}

/// Standard output and standard error of a command that must succeed.
pub(crate) fn told(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let [out, told] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{command:?}: {told}");
    (out, told)
}

/// The last line of a command that must have failed with exit code 1.
pub(crate) fn last_line(output: &Output) -> String {
    let told = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    let line = told.lines().last().unwrap_or_default();
    assert!(line.starts_with("error: "), "{told}");
    line.to_owned()
}

/// The line of a command that must have failed with exit code 1, one line and no result.
pub(crate) fn one_line(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(output.stdout.is_empty(), "a result was printed: {told}");
    last_line(output)
}

/// Runs a command that must succeed, and returns its standard output.
pub(crate) fn succeeds(args: &[&str]) -> String {
    told(&mut mppc(args)).0
}

/// Runs a command that must fail with one line, and returns the line.
pub(crate) fn fails(args: &[&str]) -> String {
    one_line(&mppc(args).output().unwrap())
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder of golden files.
pub(crate) fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(case)
}
