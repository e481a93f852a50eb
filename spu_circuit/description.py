"""What every description is made of."""

from pydantic import BaseModel, ConfigDict


class Description(BaseModel):
    """A frozen description that knows no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
