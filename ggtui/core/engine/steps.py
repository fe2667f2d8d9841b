"""What a generation yields, token by token, and what a session adds up."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ggtui.core.runtime.record import TokenRecord


@dataclass(frozen=True, slots=True)
class Step:
    """One token that was chosen.

    text     what it adds to the text: "" while a character, or what may become a stop text, is not complete
    logprob  its log-probability under the model, at temperature 1 and before any filter
    record   of the evaluation that led to it; runs: of each run of a plan in it, more than one where a prompt was read
             in several batches. `record` has the time of all and the node records of the last
    """

    token: int
    text: str
    logprob: float
    record: TokenRecord
    runs: tuple[TokenRecord, ...] = ()

    @property
    def n_kv(self) -> int:
        """Tokens in the context after that evaluation, those it read among them; the token itself is not yet."""
        return self.record.n_past + self.record.n_tokens


@dataclass(slots=True)
class Stats:
    """Totals of a session, times in nanoseconds."""

    load_ns: int = 0
    sample_ns: int = 0
    n_sampled: int = 0
    prompt_ns: int = 0
    n_prompt: int = 0
    predict_ns: int = 0
    n_predicted: int = 0

    def count(self, record: TokenRecord, *, prompt: bool) -> None:
        """Add an evaluation."""
        if prompt:
            self.prompt_ns += record.eval_ns
            self.n_prompt += record.n_tokens
        else:
            self.predict_ns += record.eval_ns
            self.n_predicted += record.n_tokens


def joined(runs: tuple[TokenRecord, ...]) -> TokenRecord:
    """The record of an evaluation in several batches: the last one's, with the tokens and the time of all."""
    n_tokens, ns = sum(r.n_tokens for r in runs), sum(r.eval_ns for r in runs)
    said = tuple(u for r in runs for u in r.unscheduled)
    return replace(
        runs[-1], n_past=runs[0].n_past, n_tokens=n_tokens, eval_ns=ns, start_ns=runs[0].start_ns, unscheduled=said
    )
