//! Switching parts of the models off, to see what they gain and cost. Only
//! tests do so: elsewhere [`on`] is true, and nothing of this is left.

/// A part of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Part {
    /// Experts of the photo modes, by number.
    Expert0,
    Expert1,
    Expert2,
    Expert3,
    Expert4,
    /// What the blend is corrected by.
    Bias,
    /// Counters of the photo modes by their contexts.
    OwnContexts,
    NearContexts,
    CrossContexts,
    Memories,
    /// Sets of weights after the first.
    Sets1,
    Sets2,
    Sets3,
    /// The mixer of mixers.
    SecondMixer,
    MapByValue,
    MapByScale,
    SeenStage,
    /// What the learned expert says.
    Learned,
    /// Graphics mode.
    Palette,
    SameRows,
    FlatSpans,
    Recall,
    Counters,
    Repetition,
    Masks,
    Maps,
    Worth,
    EscapeSquares,
    EscapeContexts,
    EscapeMaps,
}

#[cfg(test)]
pub(crate) static OFF: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Whether a part is at work.
#[cfg(test)]
#[inline(always)]
pub(crate) fn on(part: Part) -> bool {
    OFF.load(std::sync::atomic::Ordering::Relaxed) >> part as u32 & 1 == 0
}

/// Whether a part is at work: always.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn on(_part: Part) -> bool {
    true
}

/// The part of expert number `e` of the photo modes.
#[inline(always)]
pub(crate) fn expert(e: usize) -> Option<Part> {
    use Part::{Expert0, Expert1, Expert2, Expert3, Expert4};
    [Expert0, Expert1, Expert2, Expert3, Expert4]
        .get(e)
        .copied()
}

/// The part of context number `k` of the photo modes.
#[inline(always)]
pub(crate) fn context(k: usize) -> Part {
    match k {
        0 | 3 => Part::OwnContexts,
        2 | 4..=6 => Part::NearContexts,
        _ => Part::CrossContexts,
    }
}

#[cfg(test)]
mod tests {
    use super::{OFF, Part};
    use crate::lossless::group::{
        GroupShape, MODE_GRAPHICS, MODE_PHOTO, MODE_PHOTO_LARGE, MODE_PHOTO_LEARNED, encode_coded,
    };
    use crate::lossless::plane::Planes;
    use crate::progress::PictureProgress;
    use rcodec_core::{NoProgress, Samples};
    use std::sync::atomic::Ordering;

    /// Seconds of processor time of this process in user code.
    fn user_seconds() -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        fields[11].parse::<f64>().unwrap() / 100.0
    }

    /// The first groups of pictures.
    fn pictures(variable: &str) -> Vec<(Planes, GroupShape)> {
        let names = std::env::var(variable).unwrap_or_default();
        let open = |name: &str| {
            let picture = image::open(name)
                .unwrap_or_else(|e| panic!("{name}: {e}"))
                .to_rgb8();
            let width = picture.width() as usize;
            let shape = GroupShape {
                width,
                bits: 8,
                channels: 3,
            };
            let samples = Samples::U8(picture.into_raw());
            (Planes::from_interleaved(&samples, width, 8, 3), shape)
        };
        names.split_whitespace().map(open).collect()
    }

    /// Bytes of the pictures and seconds, in one mode without some parts.
    fn measure(pictures: &[(Planes, GroupShape)], mode: u8, parts: &[Part]) -> (usize, f64) {
        let off = parts.iter().fold(0, |off, &part| off | 1 << part as u32);
        OFF.store(off, Ordering::Relaxed);
        let progress = PictureProgress::new(&NoProgress, 0);
        let start = user_seconds();
        let mut bytes = 0;
        for (planes, shape) in pictures {
            let payload = encode_coded(planes, *shape, mode, None, &mut progress.group(0));
            bytes += payload.unwrap().unwrap().len();
        }
        let seconds = user_seconds() - start;
        OFF.store(0, Ordering::Relaxed);
        (bytes, seconds)
    }

    /// Prints, as CSV, what each part of the models gains in bytes and costs in
    /// processor time. `RCODEC_PHOTOS` and `RCODEC_GRAPHICS` name PNG files.
    #[test]
    #[ignore = "measures for minutes; switches off what other tests need"]
    fn ablation() {
        use Part::*;
        let common: [(&str, &[Part]); 6] = [
            ("least squares 1", &[Expert0]),
            ("local least squares 1", &[Expert1]),
            ("correction of the blend", &[Bias]),
            ("contexts: experts and residual", &[OwnContexts]),
            ("contexts: neighbours", &[NearContexts]),
            ("seen colours", &[SeenStage]),
        ];
        let normal: [(&str, &[Part]); 3] = [
            ("slope", &[Expert2]),
            ("all counters", &[OwnContexts, NearContexts, CrossContexts]),
            ("sets by residual and slope", &[Sets1]),
        ];
        let large: [(&str, &[Part]); 12] = [
            ("slow least squares", &[Expert2]),
            ("least squares by phase", &[Expert3]),
            ("local least squares 2", &[Expert4]),
            ("contexts: other channels", &[CrossContexts]),
            ("all counters", &[OwnContexts, NearContexts, CrossContexts]),
            ("remembered values", &[Memories]),
            ("sets by residual and slope", &[Sets1]),
            ("sets by phase and scale", &[Sets2]),
            ("sets by value", &[Sets3]),
            ("mixer of mixers", &[SecondMixer]),
            ("map by value", &[MapByValue]),
            ("map by scale", &[MapByScale]),
        ];
        let learned: [(&str, &[Part]); 1] = [("learned expert", &[Learned])];
        let graphics: [(&str, &[Part]); 12] = [
            ("palette", &[Palette]),
            ("copied rows", &[SameRows]),
            ("flat spans", &[FlatSpans]),
            ("recall", &[Recall]),
            ("counters of candidates", &[Counters]),
            ("repetition", &[Repetition]),
            ("masks of neighbours", &[Masks]),
            ("maps", &[Maps]),
            ("giving up on candidates", &[Worth]),
            ("least squares of escapes", &[EscapeSquares]),
            ("contexts of escapes", &[EscapeContexts]),
            ("maps of escapes", &[EscapeMaps]),
        ];
        println!("mode,without,bytes,percent,seconds,percent_of_time");
        let photos = pictures("RCODEC_PHOTOS");
        let drawings = pictures("RCODEC_GRAPHICS");
        let rows = |a: &[(&'static str, &'static [Part])],
                    b: &[(&'static str, &'static [Part])]| { [a, b].concat() };
        for (name, mode, set, parts) in [
            ("photo", MODE_PHOTO, &photos, rows(&common, &normal)),
            (
                "photo large",
                MODE_PHOTO_LARGE,
                &photos,
                rows(&common, &large),
            ),
            (
                "photo learned",
                MODE_PHOTO_LEARNED,
                &photos,
                rows(&learned, &[]),
            ),
            ("graphics", MODE_GRAPHICS, &drawings, rows(&graphics, &[])),
        ] {
            let (all_bytes, all_seconds) = measure(set, mode, &[]);
            println!("{name},nothing,{all_bytes},0,{all_seconds:.2},100");
            for (part, off) in parts {
                let (bytes, seconds) = measure(set, mode, off);
                let percent = (bytes as f64 / all_bytes as f64 - 1.0) * 100.0;
                let time = seconds / all_seconds * 100.0;
                println!("{name},{part},{bytes},{percent:.3},{seconds:.2},{time:.1}");
            }
        }
    }
}
