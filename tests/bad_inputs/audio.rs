//! Recordings that are none, or not whole, or lie.
#![forbid(unsafe_code)]

use super::{Case, check};
use crate::support::{Place, data};

/// A WAV file whose parts can be wrong one by one.
struct Wav {
    format: u16,
    channels: u16,
    rate: u32,
    bits: u16,
    /// Bytes between the start and the `fmt ` chunk.
    before: Vec<u8>,
    /// The size that the `data` chunk claims, if not the true one.
    claims: Option<u32>,
    sound: Vec<u8>,
}

fn plain() -> Wav {
    let sound = (0..1600_i16).flat_map(|i| (i * 7 % 500).to_le_bytes()).collect();
    Wav { format: 1, channels: 1, rate: 16000, bits: 16, before: Vec::new(), claims: None, sound }
}

impl Wav {
    fn bytes(self) -> Vec<u8> {
        let block = (u32::from(self.channels) * u32::from(self.bits) / 8).max(1);
        let mut body = [b"WAVE", &self.before[..], b"fmt \x10\0\0\0"].concat();
        body.extend([self.format.to_le_bytes(), self.channels.to_le_bytes()].concat());
        body.extend([self.rate.to_le_bytes(), self.rate.wrapping_mul(block).to_le_bytes()].concat());
        body.extend([(block as u16).to_le_bytes(), self.bits.to_le_bytes()].concat());
        body.extend(b"data");
        body.extend(self.claims.unwrap_or(self.sound.len() as u32).to_le_bytes());
        body.extend(self.sound);
        [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    let sound = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Wav { format: 3, bits: 32, sound, ..plain() }.bytes()
}

fn wavs(place: &Place) {
    let whole = plain().bytes();
    place.write("empty.wav", "");
    place.write("one-byte.wav", "R");
    place.write("no-sound.wav", Wav { sound: Vec::new(), ..plain() }.bytes());
    place.write("cut-header.wav", &whole[..30]);
    place.write("no-data.wav", &whole[..36]);
    place.write("no-format.wav", [&b"RIFF\x2c\0\0\0WAVEdata\x20\0\0\0"[..], &[1; 32]].concat());
    place.write("cut.wav", &whole[..1000]);
    place.write("rate-0.wav", Wav { rate: 0, ..plain() }.bytes());
    place.write("rate-1.wav", Wav { rate: 1, ..plain() }.bytes());
    place.write("rate-max.wav", Wav { rate: u32::MAX, ..plain() }.bytes());
    place.write("channels-0.wav", Wav { channels: 0, ..plain() }.bytes());
    place.write(
        "channels-max.wav",
        Wav { channels: u16::MAX, bits: 8, sound: vec![128; 65_535 * 3], ..plain() }.bytes(),
    );
    place.write("bits-0.wav", Wav { bits: 0, ..plain() }.bytes());
    place.write("bits-12.wav", Wav { bits: 12, ..plain() }.bytes());
    place.write("bits-64.wav", Wav { bits: 64, ..plain() }.bytes());
    place.write("codec.wav", Wav { format: 85, ..plain() }.bytes());
    place.write("nan.wav", floats(&[0.0, 0.5, f32::NAN, 0.0]));
    place.write("infinite.wav", floats(&[0.0, f32::NEG_INFINITY]));
    place.write("huge-chunk.wav", Wav { before: b"LIST\xff\xff\xff\xff".to_vec(), ..plain() }.bytes());
    place.write("many-chunks.wav", Wav { before: b"junk\0\0\0\0".repeat(1_000_000), ..plain() }.bytes());
    place.write("streamed.wav", Wav { claims: Some(u32::MAX), ..plain() }.bytes());
    place.write("claims.wav", Wav { claims: Some(1_000_000_000), ..plain() }.bytes());
    place.write("one-sample.wav", Wav { sound: vec![1, 0], ..plain() }.bytes());
    place.write("silence.wav", Wav { sound: vec![0; 32_000], ..plain() }.bytes());
    place.write("loud.wav", floats(&[3e38; 8000]));
    place.write("a\nb.wav", "no sound");
}

const WAVS: &[Case] = &[
    ("transcribe empty.wav", 1, "error: empty.wav: an empty file"),
    (
        "transcribe one-byte.wav",
        1,
        "error: one-byte.wav: not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE)",
    ),
    ("transcribe no-sound.wav", 1, "error: no-sound.wav: no sound in it: it has a header but no samples"),
    (
        "transcribe cut-header.wav",
        1,
        "error: cut-header.wav: a WAV file without a data chunk: the recording was cut off or never written",
    ),
    (
        "transcribe no-data.wav",
        1,
        "error: no-data.wav: a WAV file without a data chunk: the recording was cut off or never written",
    ),
    (
        "transcribe no-format.wav",
        1,
        "error: no-format.wav: a WAV file that cannot be read: Ill-formed WAVE file: missing fmt chunk",
    ),
    ("transcribe cut.wav", 3, "warning: cut.wav: truncated: the header promises 3200 bytes of sound, 956 are there"),
    ("transcribe rate-0.wav", 1, "error: rate-0.wav: a sample rate of 0 Hz cannot be right"),
    ("transcribe rate-1.wav", 1, "error: rate-1.wav: a sample rate of 1 Hz cannot be right"),
    ("transcribe rate-max.wav", 1, "error: rate-max.wav: a sample rate of 4294967295 Hz cannot be right"),
    (
        "transcribe channels-0.wav",
        1,
        "error: channels-0.wav: a WAV file that cannot be read: Ill-formed WAVE file: file contains zero channels",
    ),
    ("transcribe channels-max.wav", 1, "error: channels-max.wav: 65535 channels: between 1 and 64 can be read"),
    (
        "transcribe bits-0.wav",
        1,
        "error: bits-0.wav: a WAV file that cannot be read: Ill-formed WAVE file: bits per sample is 0",
    ),
    (
        "transcribe bits-12.wav",
        1,
        "error: bits-12.wav: a WAV file that cannot be read: Ill-formed WAVE file: sample bits exceeds size of sample",
    ),
    ("transcribe bits-64.wav", 1, "error: bits-64.wav: a WAV file that cannot be read: samples of 64 bits"),
    (
        "transcribe codec.wav",
        1,
        "error: codec.wav: a WAV file that cannot be read: The wave format of the file is not supported.",
    ),
    ("transcribe nan.wav", 1, "error: nan.wav: sample 2 is NaN, not a finite number"),
    ("transcribe infinite.wav", 1, "error: infinite.wav: sample 1 is -inf, not a finite number"),
    (
        "transcribe huge-chunk.wav",
        1,
        "error: huge-chunk.wav: a WAV file without a data chunk: the recording was cut off or never written",
    ),
    (
        "transcribe many-chunks.wav",
        1,
        "error: many-chunks.wav: a WAV file without a data chunk: the recording was cut off or never written",
    ),
    ("transcribe streamed.wav", 0, ""),
    (
        "transcribe claims.wav",
        3,
        "warning: claims.wav: truncated: the header promises 1000000000 bytes of sound, 3200 are there",
    ),
    ("transcribe one-sample.wav", 0, ""),
    ("transcribe silence.wav", 0, ""),
    ("transcribe --channel 1 silence.wav", 1, "error: silence.wav: there is no channel 1: it has 1, counted from 0"),
    (
        "transcribe a\nb.wav",
        1,
        "error: a\\nb.wav: not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE)",
    ),
    ("transcribe nowhere.wav", 1, "error: nowhere.wav: No such file or directory (os error 2)"),
    ("transcribe -", 1, "error: <stdin>: an empty file"),
    ("transcribe loud.wav", 1, "error: loud.wav: sample 0 is 3e38, and full scale is 1: that cannot be right"),
    ("features no-sound.wav --out a.npy", 2, "error: no-sound.wav: no sound in it: it has a header but no samples"),
    ("info nan.wav", 2, "error: nan.wav: sample 2 is NaN, not a finite number"),
];

#[test]
fn wav_files() {
    let place = Place::new();
    wavs(&place);
    check(&place, WAVS);
}

fn others(place: &Place) {
    let read = |name: &str| std::fs::read(data(&format!("samples/{name}"))).unwrap();
    let (flac, ogg, mp3) = (read("so2897-8k.flac"), read("so2448.ogg"), read("an4-mjgk-44k-stereo.mp3"));
    for (kind, bytes) in [("flac", &flac), ("ogg", &ogg), ("mp3", &mp3)] {
        place.write(&format!("begun.{kind}"), &bytes[..100]);
        place.write(&format!("half.{kind}"), &bytes[..bytes.len() / 2]);
        place.write(&format!("last-byte.{kind}"), &bytes[..bytes.len() - 1]);
    }
    let mut lying = flac.clone();
    // The number of samples: the last 36 bits before the checksum of the sound.
    lying[21] |= 0x0f;
    lying[22..26].fill(0xff);
    place.write("claims.flac", lying);
    let mut hole = flac.clone();
    hole[20_000..20_200].fill(0);
    place.write("hole.flac", hole);
    place.write("metadata.flac", [&b"fLaC\x04\xff\xff\xff"[..], &[0; 64]].concat());
    place.write("tag.mp3", [&b"ID3\x04\0\0\x7f\x7f\x7f\x7f"[..], &[b'x'; 23]].concat());
    place.write("box.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom\xff\xff\xff\xf0moov");
    place.write("empty-box.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom\0\0\0\x08moov");
    place.write("claims.mka", [&b"\x1aE\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xfe"[..], &[0; 100]].concat());
    place.write("channels.aiff", b"FORM\xff\xff\xff\xffAIFFCOMM\0\0\0\x12\0\0\0\0\0\0\0\x10\x40\x0c\xfa\0\0\0\0\0\0\0");
    place.write("packets.caf", caf(u32::MAX, 1));
    place.write("channels.caf", caf(1, u32::MAX));
    place.write("page.mp3", "<html><body>404</body></html>");
    place.write("utf-16.txt", b"\xff\xfep\0a\0t\0h\0\n\0".repeat(50));
    place.write("zeros", vec![0; 100_000]);
    std::fs::create_dir(place.path("empty-folder")).unwrap();
    std::os::unix::fs::symlink("loop", place.path("loop")).unwrap();
}

/// A CAF file of 16-bit samples with these claims.
fn caf(frames_per_packet: u32, channels: u32) -> Vec<u8> {
    let mut bytes = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    bytes.extend(16_000_f64.to_be_bytes());
    bytes.extend(b"lpcm\0\0\0\0");
    for number in [2, frames_per_packet, channels, 16] {
        bytes.extend(u32::to_be_bytes(number));
    }
    bytes.extend(b"data\0\0\0\0\0\0\x03\x24\0\0\0\0");
    bytes.extend([1; 800]);
    bytes
}

const OTHERS: &[Case] = &[
    ("transcribe begun.ogg", 1, "error: begun.ogg: cannot be read as Ogg: it ends before the sound begins"),
    ("transcribe half.ogg", 1, "error: half.ogg: cannot be read as Ogg: it ends before the sound begins"),
    ("transcribe last-byte.ogg", 3, "warning: last-byte.ogg: truncated: the file ends in the middle of the sound"),
    ("transcribe begun.flac", 1, "error: begun.flac: incomplete: the header promises 34800 samples, 0 are there"),
    ("transcribe half.flac", 3, "warning: half.flac: incomplete: the header promises 34800 samples, 16384 are there"),
    (
        "transcribe last-byte.flac",
        3,
        "warning: last-byte.flac: incomplete: the header promises 34800 samples, 32768 are there",
    ),
    ("transcribe hole.flac", 3, "warning: hole.flac: incomplete: the header promises 34800 samples, 30704 are there"),
    (
        "transcribe claims.flac",
        3,
        "warning: claims.flac: incomplete: the header promises 68719476735 samples, 34800 are there",
    ),
    ("transcribe metadata.flac", 1, "error: metadata.flac: cannot be read as FLAC: it ends before the sound begins"),
    ("transcribe begun.mp3", 1, "error: begun.mp3: cannot be read as MP3: its header is damaged"),
    ("transcribe half.mp3", 3, "warning: half.mp3: incomplete: the header promises 185220 samples, 91055 are there"),
    (
        "transcribe last-byte.mp3",
        3,
        "warning: last-byte.mp3: incomplete: the header promises 185220 samples, 184367 are there",
    ),
    ("transcribe tag.mp3", 1, "error: tag.mp3: cannot be read as MP3: it ends before the sound begins"),
    ("transcribe box.m4a", 1, "error: box.m4a: cannot be read as MP4: unsupported feature: isomp4: missing moov atom"),
    (
        "transcribe empty-box.m4a",
        1,
        "error: empty-box.m4a: cannot be read as MP4: malformed stream: isomp4 (moov): missing mvhd atom",
    ),
    (
        "transcribe claims.mka",
        1,
        "error: claims.mka: cannot be read as Matroska: malformed stream: mkv (ebml): no current element",
    ),
    (
        "transcribe channels.aiff",
        1,
        "error: channels.aiff: cannot be read as AIFF: malformed stream: aiff: invalid channel count",
    ),
    ("transcribe packets.caf", 1, "error: packets.caf: packets of 4294967295 samples cannot be right"),
    (
        "transcribe channels.caf",
        1,
        "error: channels.caf: cannot be read as CAF: unsupported feature: caf: unsupported channel count",
    ),
    (
        "transcribe page.mp3",
        1,
        "error: page.mp3: not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE)",
    ),
    (
        "transcribe utf-16.txt",
        1,
        "error: utf-16.txt: not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE)",
    ),
    (
        "transcribe zeros",
        1,
        "error: zeros: not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE)",
    ),
    ("transcribe /dev/zero", 1, "error: /dev/zero: a device, not a recording"),
    ("transcribe loop", 1, "error: loop: Too many levels of symbolic links (os error 40)"),
    (
        "transcribe empty-folder",
        2,
        "error: no recordings found\nhint: files are recognised by content; hidden ones are left out",
    ),
    ("features empty-folder --out a.npy", 2, "error: empty-folder: a folder, not a recording"),
    (
        "info page.mp3",
        2,
        "error: page.mp3: neither a model, a recipe or a manifest, nor a recording\n\
         hint: a manifest is a table with tabs whose first line names a column path; a recipe is TOML",
    ),
    ("info half.flac", 3, "warning: half.flac: incomplete: the header promises 34800 samples, 16384 are there"),
];

#[test]
fn other_containers() {
    let place = Place::new();
    others(&place);
    check(&place, OTHERS);
}

/// A SPHERE file with these lines in its header.
fn sphere(lines: &str, sound: &[u8]) -> Vec<u8> {
    let mut bytes = format!("NIST_1A\n   1024\n{lines}\nend_head\n").into_bytes();
    bytes.resize(1024, b' ');
    [&bytes, sound].concat()
}

const MONO: &str = "sample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\nsample_byte_format -s2 01";

fn spheres(place: &Place) {
    let sound: Vec<u8> = (0..1600_i16).flat_map(|i| (i * 7 % 500).to_le_bytes()).collect();
    let whole = sphere(&format!("{MONO}\nsample_count -i 1600"), &sound);
    let with = |more: &str| sphere(&format!("{MONO}\n{more}"), &sound);
    place.write("good.wav", &whole);
    place.write("cut.wav", &whole[..2000]);
    place.write("cut-header.wav", &whole[..100]);
    place.write("magic.wav", &whole[..8]);
    place.write("no-size.wav", [b"NIST_1A\n   size\n", &whole[16..]].concat());
    place.write("size-0.wav", [b"NIST_1A\n      0\n", &whole[16..]].concat());
    place.write("size-max.wav", [b"NIST_1A\n9999999\n", &whole[16..]].concat());
    place.write("no-end.wav", [&whole[..40], &[b' '; 2000]].concat());
    place.write("no-rate.wav", sphere("sample_count -i 1000", &sound));
    place.write("rate-0.wav", with("sample_rate -i 0"));
    place.write("rate.wav", with("sample_rate -s4 fast"));
    place.write("channels-0.wav", with("channel_count -i 0"));
    place.write("channels-max.wav", with("channel_count -i 4294967296"));
    place.write("width-0.wav", with("sample_n_bytes -i 0"));
    place.write("width-8.wav", with("sample_n_bytes -i 8"));
    place.write("order.wav", with("sample_byte_format -s2 02"));
    place.write("wavpack.wav", with("sample_coding -s25 pcm,embedded-wavpack-v1.0"));
    place.write("shortpack.wav", with("sample_coding -s26 pcm,embedded-shortpack-v0.00"));
    place.write("wide-law.wav", with("sample_coding -s4 ulaw"));
    place.write("claims.wav", with("sample_count -i 9223372036854775807"));
    place.write("streamed.wav", with("sample_count -i 0"));
    place.write("no-sound.wav", &whole[..1024]);
    shortens(place);
}

fn shortens(place: &Place) {
    let golden = |name: &str| {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sphere/").to_owned() + name).unwrap()
    };
    let (packed, bare) = (golden("shorten-v2-stereo.sph"), golden("shorten-v2.shn"));
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&packed[..1024]).replace(from, to);
        [&text.as_bytes()[..1024], &packed[1024..]].concat()
    };
    place.write("packed.sph", &packed);
    place.write("packed-cut.sph", &packed[..2500]);
    place.write("packed-begun.sph", &packed[..1027]);
    place.write("packed-mono.sph", changed("channel_count -i 2", "channel_count -i 1"));
    place.write("packed-claims.sph", changed("sample_count -i 1002", "sample_count -i 9999"));
    place.write("packed-silently.sph", changed(",embedded-shorten-v2.00", &" ".repeat(23)));
    place.write("packed-not.sph", [&packed[..1024], &[1; 4000]].concat());
    let mut version = packed.clone();
    version[1028] = 9;
    place.write("packed-v9.sph", version);
    place.write("bare.shn", &bare);
    place.write("bare-cut.shn", &bare[..bare.len() / 2]);
    place.write("bare-no-rate.shn", &packed[1024..]);
    // Version 2, 16 bits, one channel, blocks of 65535 samples; then blocks of silence, five bits each.
    let stream = [&b"ajkg\x02\xcb\x11\xdf\xff\xf3\x32\x42\x10\x84"[..], &b"\x21\x08\x42\x10\x84".repeat(2000)].concat();
    place.write("silence.sph", sphere("sample_rate -i 16000\nsample_coding -s26 pcm,embedded-shorten-v2.00", &stream));
}

const SPHERES: &[Case] = &[
    ("transcribe good.wav", 0, ""),
    ("transcribe streamed.wav", 0, ""),
    ("transcribe cut.wav", 3, "warning: cut.wav: truncated: the header promises 3200 bytes of sound, 976 are there"),
    (
        "info claims.wav",
        3,
        "warning: claims.wav: truncated: the header promises 18446744073709551614 bytes of sound, 3200 are there",
    ),
    (
        "transcribe cut-header.wav",
        1,
        "error: cut-header.wav: a SPHERE file whose header is 1024 bytes long, but only 100 bytes are there",
    ),
    ("transcribe magic.wav", 1, "error: magic.wav: a SPHERE file whose second line is not the size of its header"),
    ("transcribe no-size.wav", 1, "error: no-size.wav: a SPHERE file whose second line is not the size of its header"),
    ("transcribe size-0.wav", 1, "error: size-0.wav: a SPHERE file whose second line is not the size of its header"),
    (
        "transcribe size-max.wav",
        1,
        "error: size-max.wav: a SPHERE file whose second line is not the size of its header",
    ),
    ("transcribe no-end.wav", 1, "error: no-end.wav: a SPHERE file whose header has no end_head"),
    ("transcribe no-rate.wav", 1, "error: no-rate.wav: a SPHERE file whose header has no sample_rate"),
    ("transcribe rate-0.wav", 1, "error: rate-0.wav: a sample rate of 0 Hz cannot be right"),
    ("transcribe rate.wav", 1, "error: rate.wav: a SPHERE file whose sample_rate is \"fast\""),
    ("transcribe channels-0.wav", 1, "error: channels-0.wav: 0 channels: between 1 and 64 can be read"),
    ("transcribe channels-max.wav", 1, "error: channels-max.wav: 4294967296 channels: between 1 and 64 can be read"),
    ("transcribe width-0.wav", 1, "error: width-0.wav: a SPHERE file with samples of 0 bytes: 1 to 4 can be read"),
    ("transcribe width-8.wav", 1, "error: width-8.wav: a SPHERE file with samples of 8 bytes: 1 to 4 can be read"),
    (
        "transcribe wide-law.wav",
        1,
        "error: wide-law.wav: a SPHERE file with samples of 2 bytes: in ulaw and alaw they have 1",
    ),
    (
        "transcribe order.wav",
        1,
        "error: order.wav: a SPHERE file whose sample_byte_format is \"02\", with samples of 2 bytes",
    ),
    (
        "transcribe wavpack.wav",
        1,
        "error: wavpack.wav: a SPHERE file coded as \"pcm,embedded-wavpack-v1.0\": pcm, ulaw and alaw can be read, also \
         with embedded-shorten; NIST's w_decode makes others into those",
    ),
    (
        "transcribe shortpack.wav",
        1,
        "error: shortpack.wav: a SPHERE file coded as \"pcm,embedded-shortpack-v0.00\": pcm, ulaw and alaw can be read, \
         also with embedded-shorten; NIST's w_decode makes others into those",
    ),
    (
        "transcribe no-sound.wav",
        1,
        "error: no-sound.wav: truncated: the header promises 3200 bytes of sound, 0 are there",
    ),
    (
        "transcribe packed-cut.sph",
        3,
        "warning: packed-cut.sph: incomplete: the header promises 1002 samples, 618 are there",
    ),
    (
        "transcribe packed-begun.sph",
        1,
        "error: packed-begun.sph: its shorten stream cannot be read: it does not begin with ajkg",
    ),
    (
        "transcribe packed-not.sph",
        1,
        "error: packed-not.sph: its shorten stream cannot be read: it does not begin with ajkg",
    ),
    (
        "transcribe packed-mono.sph",
        1,
        "error: packed-mono.sph: its channel_count is 1, but its shorten stream has 2 channels",
    ),
    (
        "transcribe packed-claims.sph",
        3,
        "warning: packed-claims.sph: incomplete: the header promises 9999 samples, 1002 are there",
    ),
    (
        "transcribe packed-v9.sph",
        1,
        "error: packed-v9.sph: its shorten stream cannot be read: its version is none of 0 to 3",
    ),
    ("transcribe bare-cut.shn", 3, "warning: bare-cut.shn: truncated: the file ends in the middle of the sound"),
    (
        "transcribe bare-no-rate.shn",
        1,
        "error: bare-no-rate.shn: a shorten stream without a WAV header in it: its sample rate is unknown",
    ),
    (
        "info silence.sph",
        3,
        "warning: silence.sph: damaged after 1638375 samples: more silence than is believed of 10014 bytes",
    ),
    ("transcribe packed.sph", 0, ""),
    ("transcribe packed-silently.sph", 0, ""),
    ("transcribe bare.shn", 0, ""),
];

#[test]
fn sphere_files() {
    let place = Place::new();
    spheres(&place);
    check(&place, SPHERES);
}
