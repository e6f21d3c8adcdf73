//! Overload: far more than the gateway can take, of every kind, from clients that mean ill or know no better. Its memory stays under the bound that
//! docs/operations.md states, a well-behaved client on the side is served all the while, whoever is refused is told so, and when the load ends
//! everything is as before.
//!
//! By itself each kind of load lasts for some seconds. `OVERLOAD_SECONDS` has each last for so many, with larger objects and real uploads of 10,000 parts.
//! docs/reliability.md has what came of that.

mod bounds;
mod buffers;
mod documents;
mod endless;
mod http_2_frames;
mod idle;
mod judgement;
mod load;
mod scene;
mod secure;
mod shares;
mod sizes;
mod slow;
