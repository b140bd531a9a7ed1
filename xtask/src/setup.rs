//! What the build and the tests need beside Rust and Node, and how it is had.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{self, cargo, npm, root};

/// The compiler's target for the page.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Makes sure that the compiler can build for the page.
pub(crate) fn wasm_target() -> Result<()> {
    let libdir = shell::output(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]));
    if libdir.is_some_and(|dir| Path::new(&dir).is_dir()) {
        return Ok(());
    }
    println!("adding the compiler's target {WASM}");
    shell::run(Command::new("rustup").args(["target", "add", WASM]).current_dir(root()))
        .with_context(|| format!("the compiler has no target {WASM}; install it as rustup would"))
}

/// Makes sure that the page's npm packages are those of its lock file.
pub(crate) fn npm_packages() -> Result<()> {
    let node = shell::output(Command::new("node").arg("--version"))
        .context("Node.js is missing; install version 20.19 or newer (https://nodejs.org)")?;
    if !new_enough(&node) {
        bail!("Node.js {node} is too old; install version 20.19 or newer (https://nodejs.org)");
    }
    npm_packages_of(&root().join("web"))
}

/// Makes sure that the npm packages in a folder are those of its lock file.
pub(crate) fn npm_packages_of(folder: &Path) -> Result<()> {
    let modified = |file: &str| std::fs::metadata(folder.join(file))?.modified();
    // npm writes the hidden one last, when it is done.
    let done = modified("node_modules/.package-lock.json");
    if done.is_ok_and(|done| modified("package-lock.json").is_ok_and(|lock| done >= lock)) {
        return Ok(());
    }
    println!("installing the npm packages of {}", folder.display());
    shell::run(npm(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))
}

fn new_enough(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    version >= (20, 19)
}

/// What the tests need from the system.
pub(crate) struct System {
    pub(crate) chromium: Option<PathBuf>,
    pub(crate) chromedriver: Option<PathBuf>,
    /// The driver file of lavapipe, Mesa's Vulkan on the processor.
    pub(crate) vulkan: Option<PathBuf>,
}

impl System {
    fn find() -> Self {
        Self {
            chromium: shell::find(&[
                "chromium",
                "chromium-browser",
                "google-chrome",
                "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            ]),
            chromedriver: shell::find(&["chromedriver"]),
            vulkan: ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"]
                .iter()
                .filter_map(|dir| std::fs::read_dir(dir).ok())
                .flat_map(|files| files.flatten().map(|file| file.path()))
                .find(|path| path.to_string_lossy().contains("lvp_icd")),
        }
    }

    /// Debian's packages of what is not there.
    fn missing(&self) -> Vec<&'static str> {
        [
            (self.chromium.is_none(), "chromium"),
            (self.chromedriver.is_none(), "chromium-driver"),
            (self.vulkan.is_none(), "mesa-vulkan-drivers"),
        ]
        .iter()
        .filter_map(|&(missing, package)| missing.then_some(package))
        .collect()
    }
}

/// Finds what the tests need; as root on Debian, installs what is missing.
pub(crate) fn system() -> System {
    let found = System::find();
    let missing = found.missing();
    if missing.is_empty() {
        return found;
    }
    let root_user = shell::output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if !root_user || shell::find(&["apt-get"]).is_none() {
        println!("missing: {0} (on Debian: apt-get install {0})", missing.join(" "));
        return found;
    }
    println!("installing {}", missing.join(" "));
    let apt = |args: &[&str]| {
        let quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"];
        shell::run(Command::new("apt-get").args(quiet).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install = [&["install", "--yes", "--no-install-recommends"], &missing[..]].concat();
    if let Err(e) = apt(&["update"]).and_then(|()| apt(&install)) {
        println!("{e:#}");
    }
    System::find()
}

/// Builds the program that runs wasm tests in a browser.
pub(crate) fn wasm_test_runner() -> Result<PathBuf> {
    let runner = "wasm-test-runner";
    shell::run(&mut cargo(["build", "--quiet", "-p", "xtask", "--features", runner, "--bin", runner]))?;
    Ok(shell::target().join("debug").join(runner).with_extension(std::env::consts::EXE_EXTENSION))
}

/// Finds cargo-deny, or builds it, which takes minutes.
pub(crate) fn cargo_deny(install: bool) -> Result<Option<PathBuf>> {
    let tools = shell::target().join("tools");
    let built = tools.join("bin/cargo-deny").with_extension(std::env::consts::EXE_EXTENSION);
    if let Some(found) = shell::find(&["cargo-deny"]).or_else(|| built.is_file().then(|| built.clone())) {
        return Ok(Some(found));
    }
    if !install {
        return Ok(None);
    }
    println!("installing cargo-deny");
    shell::run(cargo(["install", "--quiet", "--locked", "cargo-deny", "--root"]).arg(&tools))?;
    Ok(Some(built))
}

/// A copy of the list of known faults of crates (rustsec's advisory-db), where cargo-deny looks for it.
pub(crate) fn advisories() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    database_in(&home.join("advisory-dbs"))
}

/// A folder of this one that holds a list.
fn database_in(folder: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    folders.filter(|path| path.join("crates").is_dir()).min()
}

#[cfg(test)]
mod tests {
    use super::{database_in, new_enough};

    #[test]
    fn advisories_are_found_where_they_are() {
        let folder = std::env::temp_dir().join(format!("xtask-advisories-{}", std::process::id()));
        assert_eq!(database_in(&folder), None);
        let database = folder.join("advisory-db-1");
        std::fs::create_dir_all(database.join("crates")).expect("a folder");
        assert_eq!(database_in(&folder), Some(database));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn node_versions() {
        for (version, enough) in
            [("v20.19.0", true), ("v22.12.1", true), ("v20.18.9", false), ("v18.20.0", false), ("", false)]
        {
            assert_eq!(new_enough(version), enough, "{version}");
        }
    }
}
