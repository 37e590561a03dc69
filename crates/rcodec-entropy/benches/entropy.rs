//! Speed of the coders and models on one core, in symbols or bits a second:
//! `cargo bench -p rcodec-entropy`.
#![allow(missing_docs)]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use rcodec_entropy::logistic::{
    Apm, Inputs, LearningRate, Mixer, MixerStack, StackParameters, stretch,
};
use rcodec_entropy::{
    AdaptiveBit, AnsDecoder, AnsEncoder, BitCoder, BitModel, BitTree, Cdf, CostEstimator,
    CountedBit, Family, ParametricTables, RangeBitDecoder, RangeBitEncoder, SCALES, TwoRateBit,
};
use std::hint::black_box;

const SYMBOLS: usize = 1_000_000;
const BYTES: usize = 250_000;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// 64 Laplace tables of 129 symbols, scales 0.11 to 32.
fn narrow_tables() -> Vec<Cdf> {
    let table = |step: i32| {
        let scale = 0.11 * (32f64 / 0.11).powf(f64::from(step) / 63.0);
        let below = |x: f64| {
            let tail = 0.5 * (-x.abs() / scale).exp();
            if x < 0.0 { tail } else { 1.0 - tail }
        };
        let mut sums: Vec<u32> = (0..129)
            .map(|i| (below(f64::from(i) - 64.5) * 65_407.0) as u32 + i as u32)
            .collect();
        sums[0] = 0;
        sums.push(65_536);
        Cdf::from_cumulative(&sums).unwrap()
    };
    (0..64).map(table).collect()
}

/// Symbols drawn from the tables with which they are coded, and the tables'
/// numbers.
fn table_data(tables: &[Cdf]) -> Vec<(u32, usize)> {
    let sums: Vec<Vec<u32>> = tables.iter().map(|t| t.cumulative().collect()).collect();
    let mut state = 88_172_645_463_325_252;
    (0..SYMBOLS)
        .map(|_| {
            let r = random(&mut state);
            let table = (r >> 40) as usize % tables.len();
            let quantile = r as u32 & 0xffff;
            let symbol = sums[table].partition_point(|&c| c <= quantile) - 1;
            (symbol as u32, table)
        })
        .collect()
}

/// Skewed bytes: the least of three random ones.
fn byte_data() -> Vec<u8> {
    let mut state = 1_234_567;
    (0..BYTES)
        .map(|_| {
            let [a, b, c, ..] = random(&mut state).to_le_bytes();
            a.min(b).min(c)
        })
        .collect()
}

fn code_symbols<C: BitCoder>(coder: &mut C, tables: &[Cdf], data: &[(u32, usize)]) -> u32 {
    let mut sum = 0u32;
    for &(symbol, table) in data {
        sum = sum.wrapping_add(coder.code_cdf(symbol, &tables[table]).unwrap());
    }
    sum
}

fn tables(c: &mut Criterion) {
    bench_tables(c, "symbols, 129 to a table", &narrow_tables());
    let parametric = ParametricTables::new(Family::Laplace, 1).unwrap();
    let wide: Vec<Cdf> = (0..SCALES)
        .map(|step| parametric.table(step, 0).0.clone())
        .collect();
    bench_tables(c, "symbols, parametric tables", &wide);
    c.bench_function("build 64 Gaussian tables", |b| {
        b.iter(|| ParametricTables::new(Family::Gaussian, 1).unwrap());
    });
}

fn bench_tables(c: &mut Criterion, name: &str, tables: &[Cdf]) {
    let data = table_data(tables);
    let mut encoder = RangeBitEncoder::new();
    let sum = code_symbols(&mut encoder, tables, &data);
    let range = encoder.finish();
    let mut encoder = AnsEncoder::new();
    code_symbols(&mut encoder, tables, &data);
    let ans = encoder.finish();

    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(SYMBOLS as u64));
    group.bench_function("range encode", |b| {
        b.iter(|| {
            let mut encoder = RangeBitEncoder::new();
            code_symbols(&mut encoder, tables, &data);
            encoder.finish()
        });
    });
    group.bench_function("range decode", |b| {
        b.iter(|| {
            let mut decoder = RangeBitDecoder::new(black_box(&range));
            assert_eq!(code_symbols(&mut decoder, tables, &data), sum);
            decoder.finish().unwrap();
        });
    });
    group.bench_function("ans encode", |b| {
        b.iter(|| {
            let mut encoder = AnsEncoder::new();
            code_symbols(&mut encoder, tables, &data);
            encoder.finish()
        });
    });
    group.bench_function("ans decode", |b| {
        b.iter(|| {
            let mut decoder = AnsDecoder::new(black_box(&ans)).unwrap();
            assert_eq!(code_symbols(&mut decoder, tables, &data), sum);
            decoder.finish().unwrap();
        });
    });
    group.bench_function("cost", |b| {
        b.iter(|| {
            let mut cost = CostEstimator::new();
            code_symbols(&mut cost, tables, &data);
            cost.bytes()
        });
    });
    group.finish();
}

fn code_bytes<C: BitCoder, M: BitModel>(coder: &mut C, data: &[u8]) -> u32 {
    let mut tree = BitTree::<M, 256>::new();
    let mut sum = 0u32;
    for &byte in data {
        sum = sum.wrapping_add(tree.code(coder, u32::from(byte)).unwrap());
    }
    sum
}

fn bench_bits<M: BitModel>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, data: &[u8]) {
    let mut encoder = RangeBitEncoder::new();
    let sum = code_bytes::<_, M>(&mut encoder, data);
    let payload = encoder.finish();
    group.bench_function(format!("{name} encode"), |b| {
        b.iter(|| {
            let mut encoder = RangeBitEncoder::new();
            code_bytes::<_, M>(&mut encoder, data);
            encoder.finish()
        });
    });
    group.bench_function(format!("{name} decode"), |b| {
        b.iter(|| {
            let mut decoder = RangeBitDecoder::new(black_box(&payload));
            assert_eq!(code_bytes::<_, M>(&mut decoder, data), sum);
            decoder.finish().unwrap();
        });
    });
    group.bench_function(format!("{name} cost"), |b| {
        b.iter(|| {
            let mut cost = CostEstimator::new();
            code_bytes::<_, M>(&mut cost, data);
            cost.bytes()
        });
    });
}

fn bits(c: &mut Criterion) {
    let data = byte_data();
    let mut group = c.benchmark_group("adaptive bits");
    group.throughput(Throughput::Elements(8 * BYTES as u64));
    bench_bits::<AdaptiveBit>(&mut group, "AdaptiveBit", &data);
    bench_bits::<CountedBit>(&mut group, "CountedBit", &data);
    bench_bits::<TwoRateBit>(&mut group, "TwoRateBit", &data);
    group.finish();
}

/// Inputs and bits for mixers: each input is a noisy hint of the bit.
fn mixer_data<const N: usize>() -> Vec<(Inputs<N>, bool)> {
    let mut state = 42;
    (0..4096)
        .map(|_| {
            let bit = random(&mut state) & 1 != 0;
            let mut inputs = Inputs::new();
            for i in 0..N {
                let r = random(&mut state);
                let p = 20_000 + (r as u32 & 0x7fff);
                let right = (r >> 32) % 8 < 5;
                inputs.set(i, stretch(if right == bit { p } else { 65_536 - p }));
            }
            (inputs, bit)
        })
        .collect()
}

const RATE: LearningRate = LearningRate::falling(900, 200, 8);

fn bench_mixer<const N: usize>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let data = mixer_data::<N>();
    group.bench_function(format!("Mixer<{N}>"), |b| {
        let mut mixer = Mixer::<N>::new(256, 65_536 / N as i32, RATE);
        b.iter(|| {
            let mut sum = 0;
            for (i, (inputs, bit)) in data.iter().enumerate() {
                sum += mixer.mix(inputs, i & 255);
                mixer.update(inputs, *bit);
            }
            sum
        });
    });
    group.bench_function(format!("MixerStack<{N}, 4>"), |b| {
        let parameters = StackParameters {
            first_weight_q16: 65_536 / N as i32,
            first_rate: RATE,
            second_rate: RATE,
        };
        let mut stack = MixerStack::<N, 4>::new([256; 4], 256, parameters);
        b.iter(|| {
            let mut sum = 0;
            for (i, (inputs, bit)) in data.iter().enumerate() {
                sum += stack.mix(inputs, [i & 255, i & 15, i & 7, 0], i & 3);
                stack.update(inputs, *bit);
            }
            sum
        });
    });
}

fn mixers(c: &mut Criterion) {
    let mut group = c.benchmark_group("mixing, bits");
    group.throughput(Throughput::Elements(4096));
    bench_mixer::<8>(&mut group);
    bench_mixer::<16>(&mut group);
    bench_mixer::<32>(&mut group);
    let data = mixer_data::<8>();
    group.bench_function("Apm", |b| {
        let mut apm = Apm::new(1024, 255);
        b.iter(|| {
            let mut sum = 0;
            for (i, (inputs, bit)) in data.iter().enumerate() {
                sum += apm.refine(i32::from(inputs.values()[0]), i & 1023);
                apm.update(*bit);
            }
            sum
        });
    });
    group.finish();
}

criterion_group!(benches, tables, bits, mixers);
criterion_main!(benches);
