"""A store directory with one store, as a file."""

STORE = """
[stores.77]
name = "Pizzeria"
phone = "+4566112233"
street = "Vestergade 1"
postal_code = "5000"
city = "Odense C"
country = "DK"
latitude = 55.3957969
longitude = 10.3912053
timezone = "Europe/Copenhagen"
carriers = ["cervo"]
"""
