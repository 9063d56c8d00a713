"""Values as providers publish them, written down apart from the tables that map them."""


def _words(text: str) -> list[str]:
    return text.split()


AFTERSHIP_TAGS = _words("""
    Pending InfoReceived InTransit OutForDelivery AttemptFail Delivered AvailableForPickup
    Exception Expired
""")
AFTERSHIP_SUBTAGS = [
    *(f"Pending_{n:03}" for n in range(1, 7)), "InfoReceived_001",
    *(f"InTransit_{n:03}" for n in (*range(1, 10), 11, 12, 13)),
    *(f"OutForDelivery_{n:03}" for n in (1, 3, 4)),
    *(f"AttemptFail_{n:03}" for n in (1, 2, 3)),
    *(f"Delivered_{n:03}" for n in range(1, 6)), "AvailableForPickup_001",
    *(f"Exception_{n:03}" for n in (*range(1, 14), *range(16, 22))), "Expired_001",
]  # fmt: skip
TRACK17_STATUSES = _words("""
    NotFound InfoReceived InTransit Expired AvailableForPickup OutForDelivery DeliveryFailure
    Delivered Exception
""")
TRACK17_SUBSTATUSES = _words("""
    NotFound_Other NotFound_InvalidCode InfoReceived InTransit_PickedUp InTransit_Other
    InTransit_Departure InTransit_Arrival InTransit_CustomsProcessing
    InTransit_CustomsReleased InTransit_CustomsRequiringInformation Expired_Other
    AvailableForPickup_Other OutForDelivery_Other DeliveryFailure_Other DeliveryFailure_NoBody
    DeliveryFailure_Security DeliveryFailure_Rejected DeliveryFailure_InvalidAddress
    Delivered_Other Exception_Other Exception_Returning Exception_Returned Exception_NoBody
    Exception_Security Exception_Damage Exception_Rejected Exception_Delayed Exception_Lost
    Exception_Destroyed Exception_Cancel
""")
EASYPOST_STATUSES = _words("""
    unknown pre_transit in_transit out_for_delivery delivered available_for_pickup
    return_to_sender failure cancelled error
""")
EASYPOST_DETAILS = _words("""
    address_correction arrived_at_destination arrived_at_facility arrived_at_pickup_location
    awaiting_information cancelled damaged delayed delivery_exception departed_facility
    departed_origin_facility expired failure held in_transit label_created lost missorted
    out_for_delivery received_at_destination_facility received_at_origin_facility refused
    return status_update transferred_to_destination_carrier transit_exception unknown
    weather_delay
""")
SHIPPO_STATUSES = _words("""
    UNKNOWN PRE_TRANSIT TRANSIT DELIVERED RETURNED FAILURE
""")
SHIPPO_SUBSTATUSES = _words("""
    information_received address_issue contact_carrier delayed delivery_attempted
    delivery_rescheduled delivery_scheduled location_inaccessible notice_left out_for_delivery
    package_accepted package_arrived package_damaged package_departed package_forwarded
    package_held package_processed package_processing pickup_available reschedule_delivery
    delivered return_to_sender package_unclaimed package_undeliverable package_disposed
    package_lost other
""")
EMSEVT_CODES = _words("""
    EMA EMB EXA EXB EXC EXD EXX EMC EMJ EMK EMD EDA EDB EME EDC EMF EDD EDE EMG EDF EDG EDH
    EMH EMI EDX
""")
EPCIS_STEPS = _words("""
    accepting arriving assembling collecting commissioning consigning creating_class_instance
    cycle_counting decommissioning departing destroying disassembling dispensing encoding
    entering_exiting holding inspecting installing killing loading other packing picking
    receiving removing repackaging repairing replacing reserving retail_selling sampling
    sensor_reporting shipping staging_outbound stock_taking stocking storing transporting
    unloading unpacking void_shipping
""")
EPCIS_DISPOSITIONS = _words("""
    active available completeness_inferred completeness_verified conformant container_closed
    container_open damaged destroyed dispensed disposed encoded expired in_progress in_transit
    inactive mismatch_class mismatch_instance mismatch_quantity needs_replacement
    no_pedigree_match non_conformant non_sellable_other partially_dispensed recalled reserved
    retail_sold returned sellable_accessible sellable_not_accessible stolen unavailable
    unknown
""")

PUBLISHED = {
    "aftership": (AFTERSHIP_TAGS, AFTERSHIP_SUBTAGS),
    "17track": (TRACK17_STATUSES, TRACK17_SUBSTATUSES),
    "easypost": (EASYPOST_STATUSES, EASYPOST_DETAILS),
    "shippo": (SHIPPO_STATUSES, SHIPPO_SUBSTATUSES),
    "emsevt": (EMSEVT_CODES, []),
    "epcis": (EPCIS_STEPS, EPCIS_DISPOSITIONS),
}
SIZES = {
    "aftership": (9, 51), "17track": (9, 30), "easypost": (10, 28), "shippo": (6, 27),
    "emsevt": (25, 0), "epcis": (41, 33),
}  # fmt: skip
"""As many as are published: coarse and fine."""
