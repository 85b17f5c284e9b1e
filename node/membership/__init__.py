"""How newcomers ask and how the committee answers: requests, data statements, checks, measurements, reviews."""
