-- Until the end of this transaction nobody changes target_urls.
select from horizon for share
