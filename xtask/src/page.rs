//! The page: the wasm package, the static files around it, and serving them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};
use wasm_bindgen_cli_support::Bindgen;

use crate::setup::{self, WASM};
use crate::shell::{self, cargo, npm, root};

/// What the wasm may weigh on the wire: a page should open in seconds on a phone.
const BUDGET: usize = 3_000_000;

/// Builds the page into `web/dist`.
pub(crate) fn build() -> Result<()> {
    setup::wasm_target()?;
    setup::npm_packages()?;
    package()?;
    shell::run(&mut npm(["run", "--silent", "build"]))
}

/// Builds the page and serves it until interrupted.
pub(crate) fn serve(port: Option<u16>, open: bool) -> Result<()> {
    build()?;
    let mut preview = npm(["run", "--silent", "preview", "--"]);
    if let Some(port) = port {
        preview.args(["--strictPort", "--port", &port.to_string()]);
    }
    if open {
        preview.arg("--open");
    }
    println!("\nthe lab is served at this address; stop it with Ctrl-C");
    shell::run(&mut preview)
}

/// Builds the page and takes its picture.
pub(crate) fn picture() -> Result<()> {
    build()?;
    let chromium = setup::system().chromium.context("the picture needs Chromium")?;
    std::fs::create_dir_all(root().join("docs"))?;
    let mut node = Command::new("node");
    node.args(["tests/picture.mjs", "../docs/page.png"]).current_dir(root().join("web"));
    shell::run(node.env("CHROMIUM", chromium))
}

/// Builds `pkg/`: the engine as WebAssembly, its JavaScript and its types.
fn package() -> Result<()> {
    shell::run(&mut cargo(["build", "-p", "mppc", "--lib", "--target", WASM, "--profile", "web"]))?;
    let built = shell::target().join(WASM).join("web/mppc.wasm");
    let pkg = root().join("pkg");
    let wasm = pkg.join("mppc_bg.wasm");
    if newer(&built, &wasm)? {
        let raw = pkg.join("raw");
        bindings(&built, &raw)?;
        optimise(&raw.join("mppc_bg.wasm"))?;
        // The wasm goes last: its date says that the package is whole.
        for name in ["mppc.js", "mppc.d.ts", "mppc_bg.wasm.d.ts", "mppc_bg.wasm"] {
            std::fs::rename(raw.join(name), pkg.join(name)).with_context(|| format!("pkg/{name}"))?;
        }
        std::fs::remove_dir_all(&raw)?;
    }
    weigh(&wasm)
}

/// Builds the wasm package with its bench entry, and returns its folder.
pub(crate) fn bench_package() -> Result<PathBuf> {
    setup::wasm_target()?;
    setup::npm_packages()?;
    // In a place of its own, so that neither build takes the other's for its own.
    let target = shell::target().join("bench");
    let what = ["build", "-p", "mppc", "--lib", "--target", WASM, "--profile", "web", "--features", "bench"];
    shell::run(cargo(what).arg("--target-dir").arg(&target))?;
    let pkg = target.join("pkg");
    bindings(&target.join(WASM).join("web/mppc.wasm"), &pkg)?;
    optimise(&pkg.join("mppc_bg.wasm"))?;
    Ok(pkg)
}

/// The JavaScript and types of a wasm module.
fn bindings(built: &Path, to: &Path) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(built).web(true)?.omit_default_module_path(false).typescript(true);
    bindgen.generate(to)
}

fn newer(built: &Path, wasm: &Path) -> Result<bool> {
    let built = std::fs::metadata(built)?.modified()?;
    Ok(std::fs::metadata(wasm).and_then(|m| m.modified()).map_or(true, |done| done < built))
}

/// Binaryen of the page's lock file; one from the system may be too old to keep the module whole.
fn optimise(wasm: &Path) -> Result<()> {
    let tool: PathBuf = root().join("web/node_modules/binaryen/bin/wasm-opt");
    shell::run(Command::new("node").arg(tool).arg("-O3").arg(wasm).arg("-o").arg(wasm))
}

fn weigh(wasm: &Path) -> Result<()> {
    let bytes = std::fs::read(wasm)?;
    ensure!(bytes.starts_with(b"\0asm"), "{} is not a wasm module", wasm.display());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let packed = gzip.finish()?.len();
    println!("mppc_bg.wasm: {:.2} MB, {:.2} MB gzip", bytes.len() as f64 / 1e6, packed as f64 / 1e6);
    if packed > BUDGET {
        bail!("the wasm weighs {packed} bytes gzip, over the budget of {BUDGET}; see what grew");
    }
    Ok(())
}
