"""Capacity: are overflows of regions announced in time, and the couriers they take?"""
