//! Metrics that exist as Python packages: run where Python and the package are
//! installed (`pip install zimtohrli pesq pystoi "visqol-python[lattice]"`), absent
//! otherwise.
//!
//! `RCODEC_PYTHON` names the interpreter; `python3` is the default.

use rcodec_core::{Error, Result};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// A metric of sound from a Python package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PythonMetric {
    /// Zimtohrli's distance at 48 kHz; smaller is better.
    Zimtohrli,
    /// PESQ wide band (ITU-T P.862.2) at 16 kHz, 1.0–4.64; for speech.
    PesqWideBand,
    /// Extended short-time objective intelligibility (Jensen and Taal 2016) at
    /// 16 kHz, up to 1; for speech.
    Estoi,
    /// ViSQOL's audio mode at 48 kHz, a mean opinion score of 1–5.
    VisqolAudio,
}

/// What every script begins with: `load(path)` gives channels of floats and the
/// rate of a 16-bit WAV file, `resample(x, from, to)` is linear interpolation
/// after a moving average, enough for rates that differ little or divide.
const PRELUDE: &str = r"
import sys, wave
import numpy as np
def load(path):
    with wave.open(path, 'rb') as f:
        if f.getsampwidth() != 2:
            sys.exit('not 16 bits')
        x = np.frombuffer(f.readframes(f.getnframes()), dtype='<i2')
        return x.reshape(-1, f.getnchannels()).T / 32768.0, f.getframerate()
def resample(x, old, new):
    if old == new:
        return x
    from fractions import Fraction
    from scipy.signal import resample_poly
    r = Fraction(new, old)
    return resample_poly(x, r.numerator, r.denominator)
(a, rate), (b, rate_b) = load(sys.argv[1]), load(sys.argv[2])
if rate != rate_b or a.shape != b.shape:
    sys.exit('the sounds do not match')
def mean(metric, target):
    print(float(np.mean([metric(resample(x, rate, target), resample(y, rate, target)) for x, y in zip(a, b)])))
";

impl PythonMetric {
    /// All of them.
    pub const ALL: [PythonMetric; 4] = [
        PythonMetric::Zimtohrli,
        PythonMetric::PesqWideBand,
        PythonMetric::Estoi,
        PythonMetric::VisqolAudio,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            PythonMetric::Zimtohrli => "zimtohrli",
            PythonMetric::PesqWideBand => "pesq_wb",
            PythonMetric::Estoi => "estoi",
            PythonMetric::VisqolAudio => "visqol_audio",
        }
    }

    /// The package that must be importable.
    pub fn package(self) -> &'static str {
        match self {
            PythonMetric::Zimtohrli => "zimtohrli",
            PythonMetric::PesqWideBand => "pesq",
            PythonMetric::Estoi => "pystoi",
            PythonMetric::VisqolAudio => "visqol",
        }
    }

    fn body(self) -> &'static str {
        match self {
            PythonMetric::Zimtohrli => {
                "import zimtohrli\nz = zimtohrli.Pyohrli()\n\
                 mean(lambda x, y: z.distance(x.astype('f4'), y.astype('f4')), 48000)"
            }
            PythonMetric::PesqWideBand => {
                "from pesq import pesq\n\
                 mean(lambda x, y: pesq(16000, x.astype('f4'), y.astype('f4'), 'wb'), 16000)"
            }
            PythonMetric::Estoi => {
                "from pystoi import stoi\n\
                 mean(lambda x, y: stoi(x, y, 16000, extended=True), 16000)"
            }
            PythonMetric::VisqolAudio => {
                "from visqol import VisqolApi\nv = VisqolApi()\nv.create(mode='audio')\n\
                 mean(lambda x, y: v.measure_from_arrays(x, y, sample_rate=48000).moslqo, 48000)"
            }
        }
    }

    /// Whether Python and the package are there.
    pub fn is_installed(self) -> bool {
        let check = format!("import numpy, scipy.signal, {}", self.package());
        Command::new(interpreter())
            .args(["-c", &check])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Compares two WAV files of 16 bits, the same rate, channels and length:
    /// each channel on its own, then the mean (a downmix would hide errors of
    /// the stereo image).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if Python cannot be run or says why it fails.
    pub fn measure(self, original: &Path, distorted: &Path) -> Result<f64> {
        let script = format!("{PRELUDE}{}", self.body());
        let output = Command::new(interpreter())
            .arg("-c")
            .arg(script)
            .args([original, distorted])
            .stdin(Stdio::null())
            .output()?;
        let failed = |why: &str| Error::unsupported(format!("{}: {why}", self.name()));
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let last = message.trim().lines().next_back().unwrap_or("failed");
            return Err(failed(last));
        }
        // Packages print notices; the value stands last.
        let printed = String::from_utf8_lossy(&output.stdout);
        let value = printed.split_whitespace().next_back();
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| failed("no value was printed"))
    }
}

fn interpreter() -> OsString {
    std::env::var_os("RCODEC_PYTHON").unwrap_or_else(|| "python3".into())
}
