//! What can be done to the header of an object, and to what else the storage says of it.

use anyhow::{Context, Result};
use data_encoding::BASE64URL_NOPAD;
use sealgate_tests::servers::Planted;

use crate::{
    alterations::{Alteration, Needs},
    judgement::Promise,
    material::{Material, sealed_length},
};

type Row = (&'static str, fn(&Material) -> Result<Vec<Planted>>);

/// Where fields lie in a header: FORMAT.md, section 3.
const SEALED_METADATA: usize = 138;

pub(crate) fn alterations() -> Vec<Alteration> {
    let table: [Row; 17] = [
        ("no header", |of| Ok(vec![of.object.with_headers(&[])])),
        ("plaintext in the place of the object", |of| {
            let mut padded = of.plaintext.clone();
            padded.resize(sealed_length(padded.len()), 0);
            let bare = of.object.with_headers(&[]);
            Ok(vec![
                bare.with_body(of.plaintext.clone()),
                of.object.with_body(of.plaintext.clone()),
                of.object.with_body(padded),
            ])
        }),
        ("another object of the bucket", |of| {
            Ok(vec![of.other.clone()])
        }),
        ("the header of another object", |of| {
            Ok(vec![of.object.with_headers(&[of.other.header()?])])
        }),
        ("two headers", |of| {
            let header = of.object.header()?;
            Ok(vec![
                of.object.with_headers(&[header, header]),
                of.object.with_headers(&[header, of.other.header()?]),
                of.object.with_headers(&[of.other.header()?, header]),
                of.object.with_headers(&[header, ""]),
            ])
        }),
        ("headers joined by commas", |of| {
            let header = of.object.header()?;
            Ok(vec![
                of.object.with_headers(&[&format!("{header},{header}")]),
                of.object
                    .with_headers(&[&format!("{header}, {}", of.other.header()?)]),
                of.object.with_headers(&[&format!("{header},")]),
            ])
        }),
        ("a header that is cut", |of| {
            let bytes = bytes(of)?;
            [
                0,
                1,
                4,
                80,
                SEALED_METADATA,
                bytes.len() - 32,
                bytes.len() - 1,
            ]
            .into_iter()
            .map(|length| Ok(with(of, bytes.get(..length).context("length")?)))
            .collect()
        }),
        ("a header that is too long", |of| {
            let bytes = bytes(of)?;
            Ok([1, 3, 1_500, 20_000]
                .map(|more| with(of, &[bytes.as_slice(), &vec![0; more]].concat()))
                .to_vec())
        }),
        ("base64 that is not canonical", |of| {
            let header = of.object.header()?;
            let mut forms = vec![
                format!("{header}="),
                format!("{header}=="),
                format!(" {header}x"),
                format!("{header}!"),
                format!("+{header}"),
            ];
            let (start, end) = header.split_at(header.len() / 2);
            forms.push(format!("{start} {end}"));
            forms.push(format!("{start}\u{e9}{end}"));
            if header.len() % 4 != 0 {
                // The bits behind the last byte.
                let mut altered = header.to_owned();
                let last = altered.pop().context("a digit")?;
                altered.push(char::from_u32(u32::from(last) + 1).context("a digit")?);
                forms.push(altered);
            }
            Ok(forms
                .iter()
                .map(|form| of.object.with_headers(&[form]))
                .collect())
        }),
        ("another version, suite or segment size", |of| {
            let replace = |place: usize, byte: u8| {
                altered(of, |header| {
                    header[place] = byte;
                })
            };
            let suite = *bytes(of)?.get(5).context("suite")?;
            [
                (4, 0),
                (4, 2),
                (5, 0),
                (5, 3 - suite),
                (5, 3),
                (7, 12),
                (7, 17),
                (7, 255),
                (0, b'X'),
            ]
            .into_iter()
            .map(|(place, byte)| replace(place, byte))
            .collect()
        }),
        ("another kind of object", |of| {
            let flags = *bytes(of)?.get(6).context("flags")?;
            (0..=4_u8)
                .chain([128])
                .filter(|other| *other != flags)
                .map(|other| {
                    altered(of, |header| {
                        header[6] = other;
                    })
                })
                .collect()
        }),
        ("a bit of each field of the header", |of| {
            let metadata = metadata_length(of)?;
            let last = bytes(of)?.len() - 1;
            [
                10,
                30,
                60,
                72,
                79,
                85,
                90,
                136,
                137,
                SEALED_METADATA + 2,
                SEALED_METADATA + metadata - 1,
                last - 31,
                last,
            ]
            .into_iter()
            .map(|place| {
                altered(of, |header| {
                    header[place] ^= 1;
                })
            })
            .collect()
        }),
        ("another length", |of| {
            [0, 1, of.kind.length() as u64 + 1, 1 << 46, u64::MAX - 1]
                .into_iter()
                .filter(|length| *length != of.kind.length() as u64)
                .map(|length| {
                    altered(of, |header| {
                        header[72..80].copy_from_slice(&length.to_be_bytes());
                    })
                })
                .collect()
        }),
        ("a key reference that nobody configured", |of| {
            let wrap = wraps(of)?;
            [wrap + 1, wrap + 2, wrap + 9]
                .into_iter()
                .map(|place| {
                    altered(of, |header| {
                        header[place] ^= 7;
                    })
                })
                .collect()
        }),
        ("a wrap stripped, added or exchanged", |of| {
            let (header, count) = (bytes(of)?, wraps(of)?);
            let (before, mac) = (header.get(..=count).context("before")?, header.len() - 32);
            let wrap = header.get(count + 1..mac).context("wrap")?;
            let mac = header.get(mac..).context("mac")?;
            let counted = |number: u8, wraps: &[u8]| {
                let mut made = before.to_vec();
                if let Some(last) = made.last_mut() {
                    *last = number;
                }
                with(of, &[&made, wraps, mac].concat())
            };
            let mut exchanged = wrap.to_vec();
            exchanged
                .iter_mut()
                .skip(11)
                .for_each(|byte| *byte = !*byte);
            Ok(vec![
                counted(0, &[]),
                counted(2, &[wrap, wrap].concat()),
                counted(1, &exchanged),
                counted(2, &[&exchanged, wrap].concat()),
            ])
        }),
        ("a thousand wraps", |of| {
            let (header, count) = (bytes(of)?, wraps(of)?);
            let (before, mac) = header.split_at(header.len() - 32);
            let wrap = before.get(count + 1..).context("wrap")?;
            let mut many = before.get(..=count).context("before")?.to_vec();
            if let Some(last) = many.last_mut() {
                *last = u8::MAX;
            }
            (0..1_000).for_each(|_| many.extend_from_slice(&wrap[..12]));
            Ok(vec![
                with(of, &[many.get(..1_450).context("many")?, mac].concat()),
                with(of, &[&many, mac].concat()),
            ])
        }),
        ("another entity tag than before", |of| {
            Ok(vec![
                of.other.tagged(of.object.entity_tag.trim_matches('"')),
            ])
        }),
    ];
    let refused = table.into_iter().map(|(name, make)| Alteration {
        name,
        needs: Needs::Nothing,
        promise: Promise::Error,
        make,
    });
    refused.chain([relabelled()]).collect()
}

/// The only thing that may be altered: nothing of it is believed.
fn relabelled() -> Alteration {
    Alteration {
        name: "another content type or user metadata at the storage",
        needs: Needs::Nothing,
        promise: Promise::Right,
        make: |of| {
            let mut altered = of.object.clone();
            altered.headers.retain(|(name, _)| name != "content-type");
            for (name, value) in [
                ("content-type", "text/html"),
                ("content-disposition", "attachment; filename=evil.exe"),
                ("x-amz-meta-owner", "mallory"),
                ("x-amz-meta-planted", "1"),
                ("content-language", "tlh"),
                ("cache-control", "public"),
            ] {
                altered.headers.push((name.to_owned(), value.to_owned()));
            }
            Ok(vec![altered])
        },
    }
}

pub(crate) fn bytes(of: &Material) -> Result<Vec<u8>> {
    Ok(BASE64URL_NOPAD.decode(of.object.header()?.as_bytes())?)
}

fn with(of: &Material, header: &[u8]) -> Planted {
    of.object.with_headers(&[&BASE64URL_NOPAD.encode(header)])
}

fn altered(of: &Material, alter: impl FnOnce(&mut Vec<u8>)) -> Result<Planted> {
    let mut header = bytes(of)?;
    alter(&mut header);
    Ok(with(of, &header))
}

fn metadata_length(of: &Material) -> Result<usize> {
    let header = bytes(of)?;
    let length = header.get(136..138).context("length")?;
    Ok(usize::from(u16::from_be_bytes(length.try_into()?)))
}

/// Where the number of wraps stands.
fn wraps(of: &Material) -> Result<usize> {
    Ok(SEALED_METADATA + metadata_length(of)?)
}
