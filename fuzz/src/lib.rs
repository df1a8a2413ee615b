//! What the fuzz targets judge by: readers and rules of their own, written from the RFCs and the
//! reference, that share no code with keygate.

pub mod address;
pub mod answer;
pub mod http2;
pub mod rules;
pub mod stand;
pub mod strict;
