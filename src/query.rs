//! The query of a target: finding, removing and masking parameters without touching any other byte; pure.
