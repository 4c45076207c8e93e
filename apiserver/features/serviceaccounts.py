"""ServiceAccounts: identities of pods, their tokens, and reviews of tokens."""

from __future__ import annotations

from apiserver.features.feature import Feature
from apiserver.kinds.reviews import SELF_SUBJECT_REVIEWS, TOKEN_REVIEWS
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS

FEATURE = Feature(
    "serviceaccounts",
    kinds=(
        SELF_SUBJECT_REVIEWS,
        SERVICE_ACCOUNTS,
        TOKEN_REVIEWS,
    ),
)
