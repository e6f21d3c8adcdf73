//! What can be done to the body of an object.

use std::ops::Range;

use anyhow::{Context, Result};
use sealgate_tests::servers::Planted;

use crate::{
    alterations::{Alteration, Needs},
    judgement::Promise,
    material::{Material, OVERHEAD, SEGMENT, sealed_length},
};

type Row = (
    &'static str,
    Needs,
    Promise,
    fn(&Material) -> Result<Vec<Planted>>,
);

const SEALED_SEGMENT: usize = SEGMENT + OVERHEAD;

pub(crate) fn alterations() -> Vec<Alteration> {
    let one = Needs::Segments(1);
    let table: [Row; 28] = [
        ("a bit of a nonce", one, Promise::ByPlace, |of| {
            flips(of, |sealed| sealed.start + 3)
        }),
        ("a bit of a ciphertext", one, Promise::ByPlace, |of| {
            flips(of, |sealed| sealed.start + 12)
        }),
        ("a bit of a tag", one, Promise::ByPlace, |of| {
            flips(of, |sealed| sealed.end - 1)
        }),
        (
            "two segments swapped",
            Needs::Segments(4),
            Promise::ByPlace,
            |of| {
                [(0, 1), (1, 2)]
                    .into_iter()
                    .map(|(a, b)| {
                        rebuilt(
                            of,
                            &[
                                &of.object.body[..sealed(of, a)?.start],
                                at(of, b)?,
                                at(of, a)?,
                                &of.object.body[sealed(of, b)?.end..],
                            ],
                        )
                    })
                    .collect()
            },
        ),
        (
            "a segment in the place of the next",
            Needs::Segments(4),
            Promise::ByPlace,
            |of| Ok(vec![with(of, &sealed(of, 2)?, at(of, 1)?)?]),
        ),
        ("a segment twice", one, Promise::Error, |of| {
            let end = sealed(of, 0)?.end;
            Ok(vec![rebuilt(
                of,
                &[&of.object.body[..end], &of.object.body],
            )?])
        }),
        (
            "a middle segment left out",
            Needs::Segments(3),
            Promise::Error,
            |of| {
                let middle = sealed(of, 1)?;
                Ok(vec![rebuilt(
                    of,
                    &[
                        &of.object.body[..middle.start],
                        &of.object.body[middle.end..],
                    ],
                )?])
            },
        ),
        (
            "the same segment of another object",
            one,
            Promise::ByPlace,
            |of| {
                places(of)
                    .into_iter()
                    .map(|place| {
                        let range = sealed(of, place)?;
                        with(of, &range, &of.other.body[range.clone()])
                    })
                    .collect()
            },
        ),
        (
            "the same segment of another part",
            Needs::EqualParts,
            Promise::ByPlace,
            |of| {
                let (first, second) = (of.part(0), of.part(1));
                let segment = |part: &Range<usize>| {
                    part.start + SEALED_SEGMENT..part.start + 2 * SEALED_SEGMENT
                };
                Ok(vec![
                    with(of, &segment(&second), &of.object.body[segment(&first)])?,
                    with(of, &segment(&first), &of.object.body[segment(&second)])?,
                ])
            },
        ),
        (
            "a segment of another attempt",
            Needs::Attempt,
            Promise::ByPlace,
            |of| {
                let replaced = of.replaced.as_ref().context("no attempt")?;
                [0, 1]
                    .into_iter()
                    .map(|place| {
                        let range = sealed(of, place)?;
                        with(of, &range, &replaced[range.clone()])
                    })
                    .collect()
            },
        ),
        (
            "another attempt at a whole part",
            Needs::Attempt,
            Promise::ByPlace,
            |of| {
                let replaced = of.replaced.as_ref().context("no attempt")?;
                Ok(vec![with(of, &of.part(0), replaced)?])
            },
        ),
        (
            "segments of an aborted upload",
            Needs::Attempt,
            Promise::ByPlace,
            |of| {
                let aborted = of.aborted.as_ref().context("no upload")?;
                let range = sealed(of, 1)?;
                Ok(vec![
                    with(of, &of.part(0), aborted)?,
                    with(of, &range, &aborted[range.clone()])?,
                ])
            },
        ),
        ("cut at a segment's end", one, Promise::Error, |of| {
            let mut ends: Vec<usize> = places(of)
                .into_iter()
                .map(|place| Ok(sealed(of, place)?.end))
                .collect::<Result<_>>()?;
            ends.push(of.region());
            ends.into_iter().map(|end| cut(of, end)).collect()
        }),
        (
            "cut to 0, 1, 27 or 28 bytes",
            Needs::Nothing,
            Promise::Error,
            |of| [0, 1, 27, 28].into_iter().map(|end| cut(of, end)).collect(),
        ),
        ("cut by a byte", Needs::Nothing, Promise::Error, |of| {
            Ok(vec![cut(of, of.object.body.len() - 1)?])
        }),
        (
            "bytes behind the end",
            Needs::Nothing,
            Promise::Error,
            |of| {
                [1, OVERHEAD, SEALED_SEGMENT]
                    .into_iter()
                    .map(|more| rebuilt(of, &[&of.object.body, &vec![0; more]]))
                    .collect()
            },
        ),
        (
            "a segment that is not the last as the last",
            Needs::FullLast,
            Promise::ByPlace,
            |of| {
                let last = of.segments.len() - 1;
                Ok(vec![with(of, &sealed(of, last)?, at(of, last - 1)?)?])
            },
        ),
        (
            "the first, a middle or the last part left out",
            Needs::Parts(2),
            Promise::Error,
            |of| {
                let mut made = Vec::new();
                for number in 0..of.kind.parts().len() {
                    let part = of.part(number);
                    let rest =
                        [&of.object.body[..part.start], &of.object.body[part.end..]].concat();
                    // As long as an object of what is left would be, too.
                    let left: usize =
                        of.kind.length() - of.kind.parts().get(number).context("part")?;
                    let mut padded = [
                        &of.object.body[..part.start],
                        &of.object.body[part.end..of.region()],
                    ]
                    .concat();
                    let region = &of.object.body[of.region()..];
                    let room = sealed_length(left).saturating_sub(padded.len());
                    padded.extend(region.iter().skip(region.len().saturating_sub(room)));
                    made.push(of.object.with_body(rest));
                    made.push(of.object.with_body(padded));
                }
                Ok(made)
            },
        ),
        (
            "two parts swapped",
            Needs::EqualParts,
            Promise::Error,
            |of| {
                let (a, b) = (of.part(0), of.part(1));
                Ok(vec![rebuilt(
                    of,
                    &[
                        &of.object.body[b.clone()],
                        &of.object.body[a],
                        &of.object.body[b.end..],
                    ],
                )?])
            },
        ),
        (
            "a part twice",
            Needs::EqualParts,
            Promise::ErrorOrAbort,
            |of| {
                let (a, b) = (of.part(0), of.part(1));
                Ok(vec![
                    with(of, &b, &of.object.body[a.clone()])?,
                    rebuilt(of, &[&of.object.body[a], &of.object.body])?,
                ])
            },
        ),
        (
            "a part of another upload",
            Needs::Segments(1),
            Promise::ErrorOrAbort,
            |of| {
                (0..of.kind.parts().len())
                    .map(|number| {
                        let part = of.part(number);
                        with(of, &part, &of.other.body[part.clone()])
                    })
                    .collect()
            },
        ),
        ("no commit region", Needs::Nothing, Promise::Error, |of| {
            Ok(vec![cut(of, of.region())?])
        }),
        (
            "a commit region of zeros",
            Needs::Nothing,
            Promise::Region,
            |of| {
                let region = of.region()..of.object.body.len();
                Ok(vec![with(of, &region, &vec![0; region.len()])?])
            },
        ),
        (
            "the commit region of another object",
            Needs::Nothing,
            Promise::Region,
            |of| {
                let region = of.region()..of.object.body.len();
                Ok(vec![with(of, &region, &of.other.body[region.clone()])?])
            },
        ),
        ("two commit regions", Needs::Nothing, Promise::Error, |of| {
            Ok(vec![rebuilt(
                of,
                &[&of.object.body, &of.object.body[of.region()..]],
            )?])
        }),
        (
            "a commit record that begins nowhere",
            Needs::Nothing,
            Promise::Region,
            |of| {
                let length = of.object.body.len();
                [0, 1, 47, 48, u32::try_from(length)?, u32::MAX]
                    .into_iter()
                    .map(|record| with(of, &(length - 4..length), &record.to_be_bytes()))
                    .collect()
            },
        ),
        (
            "a bit of the commit record",
            Needs::Nothing,
            Promise::Region,
            |of| {
                let length = of.object.body.len();
                [8, 5, 9, 24, 100]
                    .into_iter()
                    .map(|back| flip(of, length - back))
                    .collect()
            },
        ),
        (
            "a bit of the padding",
            Needs::Nothing,
            Promise::ErrorOrAbort,
            |of| Ok(vec![flip(of, of.region())?]),
        ),
    ];
    let made = table
        .into_iter()
        .map(|(name, needs, promise, make)| Alteration {
            name,
            needs,
            promise,
            make,
        });
    made.collect()
}

/// The first segment, one in the middle and the last.
fn places(of: &Material) -> Vec<usize> {
    let last = of.segments.len().saturating_sub(1);
    let mut places = vec![0, last / 2, last];
    places.dedup();
    places
}

fn sealed(of: &Material, place: usize) -> Result<Range<usize>> {
    Ok(of.segments.get(place).context("a segment")?.sealed.clone())
}

fn at(of: &Material, place: usize) -> Result<&[u8]> {
    Ok(&of.object.body[sealed(of, place)?])
}

fn flips(of: &Material, byte: fn(&Range<usize>) -> usize) -> Result<Vec<Planted>> {
    let places = places(of).into_iter();
    places
        .map(|place| flip(of, byte(&sealed(of, place)?)))
        .collect()
}

fn flip(of: &Material, place: usize) -> Result<Planted> {
    let mut body = of.object.body.to_vec();
    *body.get_mut(place).context("a byte")? ^= 0x10;
    Ok(of.object.with_body(body))
}

fn cut(of: &Material, length: usize) -> Result<Planted> {
    let kept = of.object.body.get(..length).context("a length")?;
    Ok(of.object.with_body(kept.to_vec()))
}

fn with(of: &Material, place: &Range<usize>, bytes: &[u8]) -> Result<Planted> {
    let mut body = of.object.body.to_vec();
    body.get_mut(place.clone())
        .context("a place")?
        .copy_from_slice(bytes);
    Ok(of.object.with_body(body))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a function like the others, that a table can hold"
)]
fn rebuilt(of: &Material, pieces: &[&[u8]]) -> Result<Planted> {
    Ok(of.object.with_body(pieces.concat()))
}
