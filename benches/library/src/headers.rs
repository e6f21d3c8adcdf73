//! Headers: read once for every object that is read, made once for every object that is written.

use std::hint::black_box;
use std::rc::Rc;

use sealgate_envelope::header::Header;
use sealgate_envelope::object::{Body, PartId};
use sealgate_envelope::segment::PartSealer;
use sealgate_envelope::{Backend, Suite};

use crate::rounds::{Effort, Times, measure as measure_all, repeated};
use crate::sample::Keys;

/// How often in one run; the times are divided by it.
const COUNT: u32 = 50;

/// Parsing, opening and sealing headers, and starting to seal a body.
///
/// # Errors
/// Whatever goes wrong.
pub fn measure(effort: Effort) -> anyhow::Result<Vec<Times>> {
    let (suite, backend) = (Suite::Aes256Gcm, Backend::default());
    let body = Body::Verified {
        plaintext_length: 1 << 20,
    };
    let keys = Rc::new(Keys::new()?);
    let sealed = keys.seal(suite, backend, body)?;
    let text = sealed.header.to_text();
    let (secrets, header) = (sealed.secrets, sealed.header);
    let id = PartId::single(secrets.object_id());
    let count = COUNT as usize;
    let (sealing, opening) = (Rc::clone(&keys), keys);
    let parse = repeated(count, move || {
        black_box(Header::from_text(black_box(&text))?);
        Ok(())
    });
    let open = repeated(count, move || {
        black_box(header.open(opening.key(), opening.place()?)?);
        Ok(())
    });
    let seal = repeated(count, move || {
        black_box(sealing.seal(suite, backend, body)?.header.to_text());
        Ok(())
    });
    let part = repeated(count, move || {
        black_box(PartSealer::new(&secrets, id)?);
        Ok(())
    });
    let mut times = measure_all(
        effort,
        vec![
            ("parse a header".to_owned(), parse),
            ("open it, its working key in memory".to_owned(), open),
            ("seal a header".to_owned(), seal),
            ("derive the key of a body".to_owned(), part),
        ],
    )?;
    for one in &mut times {
        for seconds in &mut one.seconds {
            *seconds /= f64::from(COUNT);
        }
    }
    Ok(times)
}
