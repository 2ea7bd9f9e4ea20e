"""What finance does with tariffs: looks through a long list of fees, and puts a new price list in force once it has seen what it changes."""

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from hand import calm, go, leads_on, text, until

HEADER = (
    "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,onpeak_follow_interval,"
    "offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval,connection_fee"
)


def says(driver, *words):
    seen = text(driver)
    for word in words:
        assert word in seen, f"{driver.current_url} does not say {word!r}:\n{seen}"


def opens_what_is_in_force(driver, url, profile):
    go(driver, url, "/tariffs", profile)
    row = next(
        row for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr") if row.text.startswith(f"{profile} ") and "in force" in row.text
    )
    leads_on(driver, row.find_element(By.TAG_NAME, "a").click)


def destinations(driver):
    return [row.find_element(By.TAG_NAME, "td").text for row in driver.find_elements(By.CSS_SELECTOR, "main > section:last-of-type tbody tr")]


def tries_out(driver, url):
    """What one call would cost, and what this month's calls would have cost by the prices in force."""
    go(driver, url, "/tariffs", "Try a price")
    leads_on(driver, driver.find_element(By.LINK_TEXT, "Try a price").click)
    calm(driver, "a price to be tried")
    choose = Select(driver.find_element(By.NAME, "profile"))
    choose.select_by_visible_text("retail")
    driver.find_element(By.NAME, "to").send_keys("491512345678")
    seconds = driver.find_element(By.NAME, "seconds")
    seconds.clear()
    leads_on(driver, lambda: seconds.send_keys("90", Keys.ENTER))
    says(driver, "Germany mobile", "Step by step", "120 s billed")
    cost = driver.find_element(By.CSS_SELECTOR, "#price .sum").text
    assert cost in ("0.07 EUR", "0.05 EUR"), cost
    calm(driver, "a price tried")
    seconds = driver.find_element(By.NAME, "seconds")
    seconds.clear()
    leads_on(driver, lambda: seconds.send_keys("long", Keys.ENTER))
    says(driver, "is no number of seconds")
    calm(driver, "a length that is none", refused=422)

    go(driver, url, "/tariffs/shadow", "Shadow billing")
    retail = next(it for it in driver.find_elements(By.CSS_SELECTOR, "[name=version] option") if it.text.startswith("retail "))
    retail.click()
    month = driver.find_element(By.NAME, "month")
    driver.execute_script("arguments[0].value = new Date().toISOString().slice(0, 7)", month)
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "form.filters button").click)

    def is_over():
        driver.get(f"{url}/tariffs/shadow")
        return "would pay more" in text(driver) or "broke off" in text(driver)

    until(driver, "the month is compared", is_over)
    compared = driver.find_element(By.ID, "compared").text
    assert "broke off" not in compared and " 0 calls" not in compared, compared
    says(driver, "would pay less", "They would cost", "EUR")
    calm(driver, "a month by another tariff")


def prices(driver, url, folder):
    tries_out(driver, url)
    width = driver.execute_script("return innerWidth")
    opens_what_is_in_force(driver, url, "retail")
    assert len(driver.find_elements(By.CSS_SELECTOR, ".week svg.day")) == 7, "no week"
    says(driver, "1 to 200 of ", "00:00 to 08:00, 18:00 to 24:00")
    calm(driver, "a tariff and its week")
    first = destinations(driver)
    leads_on(driver, driver.find_element(By.XPATH, "//button[text()='More fees']").click)
    says(driver, "201 to 400 of ")
    second = destinations(driver)
    assert len(first) == len(second) == 200 and max(first) <= min(second), (first[-3:], second[:3])
    leads_on(driver, driver.find_element(By.XPATH, "//button[text()='Fees before']").click)
    assert destinations(driver) == first

    leads_on(driver, driver.find_element(By.LINK_TEXT, "New price list").click)
    calm(driver, "a price list to be sent")

    def check(words):
        field = driver.find_element(By.NAME, "list")
        field.clear()
        field.send_keys(words)
        leads_on(driver, driver.find_element(By.CSS_SELECTOR, "button[value=check]").click)

    check(" ")
    says(driver, "there is no fee in the list")
    calm(driver, "an empty price list", refused=422)
    check(f"{HEADER}\n,49,out,Germany,fixed,cheap,60,1,60,1,60,1,60,\n")
    says(driver, "the list:2:6: onpeak_init_rate")
    assert ",49,out," in driver.find_element(By.NAME, "list").get_attribute("value"), "what was typed is gone"
    calm(driver, "a price list that cannot be read", refused=422)

    # Each width makes another price of it.
    rate = f"1.{width}5"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prices.csv"
    file.write_text(f"{HEADER}\n,4930,out,Germany,Berlin,{rate},60,{rate},60,{rate},60,{rate},60,\n")
    driver.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))
    field = driver.find_element(By.NAME, "list")
    until(driver, "the file is in the field", lambda: field.get_attribute("value") == file.read_text())
    file.unlink()
    driver.find_element(By.NAME, "keep").click()
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "button[value=check]").click)
    says(driver, "What it changes", "Nothing has changed yet", "4930", "Germany Berlin")
    calls = next(row.text for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr") if row.text.startswith("customer "))
    assert calls.startswith("customer 3 0 ") and "+" in calls, calls
    calm(driver, "what a price list changes")
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "button[value=apply]").click)
    until(driver, "it is in force", lambda: "fees apply from" in text(driver))
    says(driver, "retail")
    calm(driver, "a price list applied")
    go(driver, url, f"/tariffs/{driver.current_url.split('/tariffs/')[1].split('?')[0]}?q=4930555", f"{rate}/min 60/60")
    assert destinations(driver)[0] == "4930", "the new fee does not win"
    opens_what_is_in_force(driver, url, "retail")
    leads_on(driver, driver.find_element(By.LINK_TEXT, "New price list").click)
    check(f"{HEADER}\n,4930,out,Germany,Berlin,{rate},60,{rate},60,{rate},60,{rate},60,\n")
    says(driver, "gone", "Without a fee")
    calm(driver, "a price list that leaves out the others")
