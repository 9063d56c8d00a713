"""What a complaint is about, by rule, where it does not say so itself."""

from collections.abc import Mapping
from typing import Final

from detectors.events import Category, Complaint

ISSUE_WORDS: Final[Mapping[str, str]] = {
    "late": Category.LOGISTICS,
    "delay": Category.LOGISTICS,
    "stuck": Category.LOGISTICS,
    "lost": Category.LOGISTICS,
    "courier": Category.LOGISTICS,
    "deliver": Category.LOGISTICS,
    "parcel": Category.LOGISTICS,
    "not_received": Category.LOGISTICS,
    "damage": Category.PRODUCT,
    "broken": Category.PRODUCT,
    "defect": Category.PRODUCT,
    "quality": Category.PRODUCT,
    "fake": Category.PRODUCT,
    "wrong_item": Category.PRODUCT,
    "refund": Category.ORDER,
    "payment": Category.ORDER,
    "invoice": Category.ORDER,
    "price": Category.ORDER,
    "cancel": Category.ORDER,
}
"""Words in an issue that tell its category; the first that occurs wins."""


def classify(complaint: Complaint, words: Mapping[str, str] = ISSUE_WORDS) -> Category:
    """Return the category of a complaint, by rule where it names none.

    In this order: the category given; the first of `words` that its issue contains; logistics if
    it names a parcel or a carrier; product if it names a supplier; order if it names an order;
    else service.
    """
    if complaint.category is not None:
        return complaint.category
    named = category_of_issue(complaint.issue or "", words)
    return named or category_by_subject(complaint)


def category_of_issue(issue: str, words: Mapping[str, str] = ISSUE_WORDS) -> Category | None:
    """Return the category of the first of `words` that an issue contains."""
    plain = issue.lower().replace(" ", "_").replace("-", "_")
    for word, category in words.items():
        if word in plain:
            return Category(category)
    return None


def category_by_subject(complaint: Complaint) -> Category:
    """Return the category of a complaint by what it names."""
    if complaint.parcel_id or complaint.carrier:
        return Category.LOGISTICS
    if complaint.supplier_id:
        return Category.PRODUCT
    return Category.ORDER if complaint.order_id else Category.SERVICE
