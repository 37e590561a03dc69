//! What a run says: a line on the terminal, validation curves as CSV.

use super::gradient::Losses;
use super::validate::Figures;
use rcodec_core::Result;
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Appends validation figures to `validation.csv`.
#[derive(Debug)]
pub(super) struct Curve {
    path: PathBuf,
}

impl Curve {
    /// In a folder that exists.
    pub(super) fn open(folder: &Path) -> Result<Curve> {
        let path = folder.join("validation.csv");
        if !path.exists() {
            let header = "step,hours,arithmetic,quality,bpp,bpp_y,bpp_z,psnr_db,ms_ssim_db,loss\n";
            std::fs::write(&path, header)?;
        }
        Ok(Curve { path })
    }

    /// One row for each quality.
    pub(super) fn append(
        &self,
        step: u64,
        hours: f64,
        quantized: bool,
        all: &[Figures],
    ) -> Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        let arithmetic = if quantized { "integer" } else { "float" };
        for f in all {
            let bpp = f.bpp();
            writeln!(
                file,
                "{step},{hours:.4},{arithmetic},{},{bpp:.5},{:.5},{:.5},{:.4},{:.4},{:.5}",
                f.quality, f.bpp_y, f.bpp_z, f.psnr_db, f.ms_ssim_db, f.loss
            )?;
        }
        Ok(())
    }
}

/// The live line: overwritten on a terminal, one in a while elsewhere.
#[derive(Debug)]
pub(super) struct Display {
    is_terminal: bool,
    last: Instant,
    /// Running means.
    means: Option<(Losses, f64)>,
    steps: u64,
}

impl Display {
    /// For a run of that many steps.
    pub(super) fn new(steps: u64) -> Display {
        Display {
            is_terminal: std::io::stderr().is_terminal(),
            last: Instant::now(),
            means: None,
            steps,
        }
    }

    /// After each step.
    pub(super) fn step(&mut self, step: u64, losses: Losses, rate: f32, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        let (mean, mean_ms) = self.means.get_or_insert((losses, ms));
        let blend = |mean: &mut f32, value: f32| *mean += 0.02 * (value - *mean);
        blend(&mut mean.loss, losses.loss);
        blend(&mut mean.bpp_y, losses.bpp_y);
        blend(&mut mean.bpp_z, losses.bpp_z);
        blend(&mut mean.mse, losses.mse);
        *mean_ms += 0.05 * (ms - *mean_ms);
        let pause = if self.is_terminal { 0.5 } else { 30.0 };
        if self.last.elapsed().as_secs_f64() < pause {
            return;
        }
        self.last = Instant::now();
        let psnr = 10.0 * (255.0 * 255.0 / mean.mse.max(1e-6)).log10();
        let left = self.steps.saturating_sub(step) as f64 * *mean_ms / 3.6e6;
        let line = format!(
            "step {step}/{}  loss {:.4}  bpp {:.3}+{:.3}  psnr {psnr:.2}  rate {rate:.1e}  {mean_ms:.0} ms/step  {left:.1} h left",
            self.steps, mean.loss, mean.bpp_y, mean.bpp_z
        );
        say(&match self.is_terminal {
            true => format!("\r\x1b[K{line}"),
            false => format!("{line}\n"),
        });
    }

    /// A line that stays.
    pub(super) fn note(&self, text: &str) {
        let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
        say(&format!("{clear}{text}\n"));
    }
}

/// Writes to the standard error. A run goes on when nobody listens any more.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
