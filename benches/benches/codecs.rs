//! Encode and decode of every codec, in CPU time of this thread; elements are
//! pixels, sample frames or bytes. `cargo bench -p rcodec-benches -- PART` runs
//! some.

use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Throughput, criterion_group, criterion_main};
use rcodec_benches::cases;
use std::hint::black_box;
use std::time::Duration;

/// The CPU time of this thread.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn codecs(criterion: &mut criterion::Criterion<CpuTime>) {
    for case in cases() {
        let file = match case.encode() {
            Ok(file) => file,
            Err(why) => {
                println!("{}: left out: {why}", case.name());
                continue;
            }
        };
        let mut group = criterion.benchmark_group(case.name());
        group.throughput(Throughput::Elements(case.input.elements));
        group.bench_function("encode", |b| b.iter(|| black_box(case.encode())));
        group.bench_function("decode", |b| b.iter(|| black_box(case.decode(&file))));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = criterion::Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = codecs
}
criterion_main!(benches);
