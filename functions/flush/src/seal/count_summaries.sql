-- How many summaries the targets $1 to $2 may have of a span: one for each location.
select (select count(*) from targets where id between $1 and $2) * (select count(*) from locations)
