//! Small recordings in containers of which the repository has no file: made by hand, each as its specification says.
#![forbid(unsafe_code)]

/// 16-bit samples, lowest byte first.
fn samples() -> Vec<u8> {
    (0..400_i16).flat_map(|i| (i * 37 % 901).to_le_bytes()).collect()
}

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("stereo.wav", wav(1, 2, 16, b"", &samples())),
        ("float.wav", wav(3, 1, 32, b"", &[0, 0, 0x80, 0x3e].repeat(200))),
        ("deep.wav", wav(1, 1, 24, b"", &samples()[..600])),
        ("mu-law.wav", wav(7, 1, 8, b"\0\0", &samples())),
        ("ima.wav", wav(0x11, 1, 4, b"\x02\0\xf9\x01", &[&[0; 4][..], &[0x35; 252]].concat().repeat(2))),
        ("sound.aiff", aiff()),
        ("sound.caf", caf()),
        ("sound.m4a", mp4()),
        ("sound.mka", matroska()),
        ("sound.aac", aac()),
    ]
}

/// `more` is what follows the plain part of the `fmt ` chunk.
fn wav(format: u16, channels: u16, bits: u16, more: &[u8], sound: &[u8]) -> Vec<u8> {
    let block = if format == 0x11 { 256 } else { channels * bits / 8 };
    let mut body = b"WAVEfmt ".to_vec();
    body.extend((16 + more.len() as u32).to_le_bytes());
    [format, channels].iter().for_each(|n| body.extend(n.to_le_bytes()));
    [8000, 8000 * u32::from(block)].iter().for_each(|n| body.extend(n.to_le_bytes()));
    [block, bits].iter().for_each(|n| body.extend(n.to_le_bytes()));
    body.extend(more);
    body.extend(b"data");
    body.extend((sound.len() as u32).to_le_bytes());
    body.extend(sound);
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

fn aiff() -> Vec<u8> {
    let mut body = b"AIFFCOMM\0\0\0\x12\0\x01\0\0\x01\x90\0\x10\x40\x0c\xfa\0\0\0\0\0\0\0SSND".to_vec();
    body.extend((samples().len() as u32 + 8).to_be_bytes());
    body.extend([0; 8]);
    body.extend(samples());
    [b"FORM", &(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn caf() -> Vec<u8> {
    let mut bytes = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    bytes.extend(16_000_f64.to_be_bytes());
    bytes.extend(b"lpcm\0\0\0\x02");
    [2, 1, 1, 16].iter().for_each(|n| bytes.extend(u32::to_be_bytes(*n)));
    bytes.extend(b"data");
    bytes.extend((samples().len() as u64 + 4).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(samples());
    bytes
}

/// A box of an MP4 file.
fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
}

/// Numbers of four bytes, highest first.
fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

/// One track of 16-bit samples, the oldest kind of sound in such files.
fn mp4() -> Vec<u8> {
    let frames = samples().len() as u32 / 2;
    let mut entry = vec![0; 6];
    entry.extend([0, 1]);
    entry.extend([0; 8]);
    entry.extend([0, 1, 0, 16, 0, 0, 0, 0]);
    entry.extend((16_000_u32 << 16).to_be_bytes());
    let file_type = boxed(b"ftyp", b"M4A \0\0\0\0M4A isom");
    let movie = |offset: u32| {
        let table = [
            boxed(b"stsd", &[numbers(&[0, 1]), boxed(b"sowt", &entry)].concat()),
            boxed(b"stts", &numbers(&[0, 1, frames, 1])),
            boxed(b"stsc", &numbers(&[0, 1, 1, frames, 1])),
            boxed(b"stsz", &numbers(&[0, 2, frames])),
            boxed(b"stco", &numbers(&[0, 1, offset])),
        ]
        .concat();
        let data = boxed(b"dinf", &boxed(b"dref", &[numbers(&[0, 1]), boxed(b"url ", &numbers(&[1]))].concat()));
        let media = [boxed(b"smhd", &numbers(&[0, 0])), data, boxed(b"stbl", &table)].concat();
        let handler = [numbers(&[0, 0]), b"soun".to_vec(), vec![0; 13]].concat();
        let track = [
            boxed(b"mdhd", &numbers(&[0, 0, 0, 16_000, frames, 0x55c4_0000])),
            boxed(b"hdlr", &handler),
            boxed(b"minf", &media),
        ]
        .concat();
        let header = [numbers(&[7, 0, 0, 1, 0, frames]), vec![0; 60]].concat();
        let track = [boxed(b"tkhd", &header), boxed(b"mdia", &track)].concat();
        let header = [numbers(&[0, 0, 0, 16_000, frames, 0x1_0000]), vec![0; 76]].concat();
        boxed(b"moov", &[boxed(b"mvhd", &header), boxed(b"trak", &track)].concat())
    };
    let offset = (file_type.len() + movie(0).len() + 8) as u32;
    [file_type, movie(offset), boxed(b"mdat", &samples())].concat()
}

/// An element of a Matroska file, whose size takes four bytes.
fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &(content.len() as u32 | 0x1000_0000).to_be_bytes(), content].concat()
}

fn matroska() -> Vec<u8> {
    let header = element(b"\x1a\x45\xdf\xa3", &element(b"\x42\x82", b"matroska"));
    let info = [
        element(b"\x2a\xd7\xb1", &[0x0f, 0x42, 0x40]),
        element(b"\x4d\x80", b"formant"),
        element(b"\x57\x41", b"formant"),
    ]
    .concat();
    let info = element(b"\x15\x49\xa9\x66", &info);
    let audio =
        [element(b"\xb5", &16_000_f64.to_be_bytes()), element(b"\x9f", &[1]), element(b"\x62\x64", &[16])].concat();
    let track = [
        element(b"\xd7", &[1]),
        element(b"\x73\xc5", &[1]),
        element(b"\x83", &[2]),
        element(b"\x86", b"A_PCM/INT/LIT"),
        element(b"\xe1", &audio),
    ]
    .concat();
    let tracks = element(b"\x16\x54\xae\x6b", &element(b"\xae", &track));
    let block = [&[0x81, 0, 0, 0x80][..], &samples()].concat();
    let cluster = element(b"\x1f\x43\xb6\x75", &[element(b"\xe7", &[0]), element(b"\xa3", &block)].concat());
    [header, element(b"\x18\x53\x80\x67", &[info, tracks, cluster].concat())].concat()
}

/// Frames of silence: one channel, no band that holds anything.
fn aac() -> Vec<u8> {
    [0xff, 0xf1, 0x60, 0x40, 0x01, 0x7f, 0xfc, 0, 0, 0, 7].repeat(10)
}
