//! Every test there is, step by step.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::page;
use crate::setup::{self, System, WASM};
use crate::shell::{self, cargo, npm, root};

/// Names the paper's tokenizer, which is not in the repository.
const NEOX_TOKENIZER: &str = "MPPC_NEOX_TOKENIZER";

enum Outcome {
    Passed,
    Failed(String),
    /// A tool is missing and this is not CI.
    Skipped(String),
}

struct Steps {
    ci: bool,
    done: Vec<(&'static str, Outcome, Duration)>,
}

impl Steps {
    fn step(&mut self, name: &'static str, f: impl FnOnce() -> Result<()>) {
        println!("\n── {name}");
        let start = Instant::now();
        let outcome = f().map_or_else(|e| Outcome::Failed(format!("{e:#}")), |()| Outcome::Passed);
        self.close(name, outcome, start.elapsed());
    }

    /// A step that needs a tool.
    fn step_with<T>(
        &mut self,
        name: &'static str,
        tool: Option<T>,
        what: &str,
        f: impl FnOnce(T) -> Result<()>,
    ) {
        match tool {
            Some(tool) => self.step(name, || f(tool)),
            None if self.ci => {
                self.close(name, Outcome::Failed(format!("{what} is missing")), Duration::ZERO)
            }
            None => self.close(name, Outcome::Skipped(format!("{what} is missing")), Duration::ZERO),
        }
    }

    fn close(&mut self, name: &'static str, outcome: Outcome, time: Duration) {
        println!("{}", line(name, &outcome, time));
        self.done.push((name, outcome, time));
    }

    fn summary(&self) -> Result<()> {
        println!("\n── summary");
        let [mut passed, mut failed, mut skipped] = [0; 3];
        for (name, outcome, time) in &self.done {
            println!("{}", line(name, outcome, *time));
            match outcome {
                Outcome::Passed => passed += 1,
                Outcome::Failed(_) => failed += 1,
                Outcome::Skipped(_) => skipped += 1,
            }
        }
        let skips = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        println!("\n{passed} passed, {failed} failed{skips}");
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        }
        Ok(())
    }
}

fn line(name: &str, outcome: &Outcome, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match outcome {
        Outcome::Passed => format!("ok       {name} ({seconds:.1} s)"),
        Outcome::Failed(why) => format!("FAILED   {name} ({seconds:.1} s): {why}"),
        Outcome::Skipped(why) => format!("skipped  {name}: {why}"),
    }
}

/// Runs everything; a failed step does not stop the others.
pub(crate) fn run(full: bool) -> Result<()> {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let mut steps = Steps { ci, done: Vec::new() };
    let start = Instant::now();
    let System { chromium, chromedriver, vulkan } = setup::system();
    println!("set-up ({:.1} s)", start.elapsed().as_secs_f64());

    steps.step("format", || shell::run(&mut cargo(["fmt", "--all", "--check"])));
    steps.step("clippy", || {
        shell::run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    steps.step("clippy for wasm", || {
        setup::wasm_target()?;
        let what = ["clippy", "-p", "mppc", "--lib", "--test", "web", "--target", WASM];
        shell::run(cargo(what).args(["--", "-D", "warnings"]))
    });
    // Elsewhere the system's own driver is as good; on Linux there may be none.
    let vulkan = if cfg!(target_os = "linux") { vulkan } else { Some(Default::default()) };
    steps.step_with("native tests", vulkan, "a software Vulkan driver (mesa-vulkan-drivers)", |vulkan| {
        native(&vulkan, full)
    });
    steps.step("page build", page::build);
    let browser = chromium.as_ref().zip(chromedriver);
    steps.step_with("wasm tests", browser, "Chromium or its WebDriver", |(_, driver)| wasm(&driver));
    steps.step("page format", || shell::run(&mut npm(["run", "--silent", "format:check"])));
    steps.step("page types", || shell::run(&mut npm(["run", "--silent", "check"])));
    steps.step_with("page tests", chromium.as_ref(), "Chromium", |chromium| page_tests(chromium, None));
    steps.step_with("page at full size", chromium.as_ref(), "Chromium", |chromium| full_size(chromium));
    match setup::cargo_deny(full) {
        Ok(None) => println!("\nlicences and sources are checked where cargo-deny is, and with --full"),
        deny => {
            let database = setup::advisories();
            if database.is_none() {
                println!(
                    "\nno advisories are at hand: `cargo deny fetch` brings them, where there is a network"
                );
            }
            steps.step("licences, sources and advisories", || {
                let deny = deny?.unwrap_or_default();
                let mut checks = Command::new(deny);
                checks.args(["check", "bans", "licenses", "sources"]).current_dir(root());
                if database.is_some() {
                    // What is there is asked; a test fetches nothing.
                    checks.args(["advisories", "--disable-fetch"]);
                }
                shell::run(&mut checks)
            })
        }
    }
    steps.summary()
}

/// Tests on the CPU engine and on a Vulkan driver that computes on the processor, so that they give the same
/// answers everywhere.
fn native(vulkan: &Path, full: bool) -> Result<()> {
    // One after the other: together they would share features, and build what both use a second time.
    for package in ["mppc", "hub", "standin", "xtask"] {
        let mut tests = cargo(["test", "-p", package]);
        if full {
            // What takes minutes on a software adapter.
            tests.env("MPPC_TEST_FULL", "1");
        }
        if vulkan.is_file() {
            tests.env("VK_DRIVER_FILES", vulkan);
            // Mesa warns on every device without one.
            tests.env("XDG_RUNTIME_DIR", std::env::temp_dir());
        }
        shell::run(&mut tests)?;
    }
    Ok(())
}

/// The page, with a stand-in for the hub. Its figures are held against those of the command line.
fn page_tests(chromium: &Path, standins: Option<&Path>) -> Result<()> {
    // One after the other, as in the native tests, which have built them by now.
    for package in ["mppc", "hub"] {
        shell::run(&mut cargo(["build", "--quiet", "-p", package, "--bins"]))?;
    }
    let program =
        |name: &str| shell::target().join("debug").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    let mut test = npm(["run", "--silent", "test", "--"]);
    test.env("CHROMIUM", chromium).env("MPPC", program("mppc")).env("HUB", program("hub"));
    if let Some(standins) = standins {
        test.arg("tests/hub/full.test.ts").env("STANDINS", standins);
    }
    shell::run(&mut test)
}

/// The shapes of the paper's models in the page: 841 MB, made once and kept.
fn full_size(chromium: &Path) -> Result<()> {
    let hub = shell::target().join("standins");
    let folder = hub.join("standin");
    std::fs::create_dir_all(&folder)?;
    for name in ["pythia-160m", "mamba-130m"].into_iter().filter(|name| !folder.join(name).is_dir()) {
        let half = folder.join(format!("{name}.part"));
        if half.is_dir() {
            std::fs::remove_dir_all(&half)?;
        }
        let make = ["run", "--quiet", "--release", "-p", "standin", "--", name];
        shell::run(cargo(make).arg(&half))?;
        std::fs::rename(half, folder.join(name))?;
    }
    page_tests(chromium, Some(&hub))
}

/// The engine in a browser: in a dedicated worker, as on the page, and with the page's own build settings, so
/// that the dependencies are compiled once for both.
fn wasm(chromedriver: &Path) -> Result<()> {
    let runner = setup::wasm_test_runner()?;
    let what = ["test", "-p", "mppc", "--test", "web", "--target", WASM, "--profile", "web"];
    let mut tests = cargo(what);
    // A browser reads no files, so the paper's tokenizer is compiled in where there is one.
    match std::env::var_os(NEOX_TOKENIZER) {
        Some(path) => {
            tests.args(["--features", "neox-tokenizer"]).env(NEOX_TOKENIZER, std::path::absolute(path)?);
        }
        None => println!("the paper's tokenizer is skipped: {NEOX_TOKENIZER} names no tokenizer.json"),
    }
    shell::run(
        tests
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner)
            .env("CHROMEDRIVER", chromedriver)
            .env("WASM_BINDGEN_TEST_ONLY_WEB", "1")
            // Seconds, for a browser that starts on a busy machine and compiles shaders on its processor.
            .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60")
            .env("WASM_BINDGEN_TEST_TIMEOUT", "300")
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", root().join("webdriver.json")),
    )
}
