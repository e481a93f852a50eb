"""What every description is made of."""

from pydantic import BaseModel, ConfigDict


class Description(BaseModel):
    """A frozen description that knows no other keys than its own."""

    # Built when the first one is read: importing the descriptions is half of the time of importing the solvers.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)
