"""Compressed updates: bytes that trainers send instead of a float32 bundle, exact to decode on every machine.

==========  ==============  ===================  ==============================================================================
scheme      bits a value    against float32      goes with
==========  ==============  ===================  ==============================================================================
``int8``    8.03            4.0 times            every pipeline
``int4``    4.03            7.9 times            every pipeline
``sign``    1.03            31 times             every pipeline, median and meamed lose some direction; error feedback
``topk``    0.22            142 times            rules that do not rank coordinates, or nnm first (`require_compatible`); error feedback
==========  ==============  ===================  ==============================================================================

The savings of LoRA and of a scheme multiply.
"""

from __future__ import annotations

from aggregation.compress.compatible import require_compatible
from aggregation.compress.scheme import SCHEMES, Scheme, parse

__all__ = ["SCHEMES", "Scheme", "parse", "require_compatible"]
